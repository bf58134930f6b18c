/**
 * @file TreeRPO's advantage, over episodes that branch: each set of siblings is a group of its own,
 *
 *   A_v = (V_v − mean over siblings) / norm,   V of an inner node = mean of its children's V, of a leaf = its reward
 *
 * and goes to the tokens of call v alone. Siblings are the calls that were sampled in the same place; sets without
 * spread, only children among them, are not trained on.
 *
 * Source: TreeRPO (arXiv 2506.05183). The normaliser is RECONSTRUCTED and optional; no normaliser is also what two
 * independent re-implementations use. An episode's reward is that of its last call.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { AdvantagePart } from "../parts.ts";
import { episodeTree } from "../tree/episode-tree.ts";
import { type SiblingAdvantage, siblingAdvantages } from "../tree/sibling-advantage.ts";
import { childMeans } from "../tree/tree-mean.ts";

export function treeRpoAdvantage({ norm = "none" }: SiblingAdvantage = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  if (!["none", "deviation", "bernoulli"].includes(norm))
    throw wrongSetting("treeRpoAdvantage", "norm", norm, '"none", "deviation" or "bernoulli"');
  return Object.freeze({
    stage: "advantage",
    name: "tree-rpo",
    compares: "episodes",
    gives: "advantages",
    settings: { norm },
    advantages: (groups) =>
      groups.map(({ group, values }) => {
        const worths = values.map((row, i) => row.at(-1) ?? group.episodes[i]!.reward);
        const tree = episodeTree(group, worths);
        const { advantages, hasSignal } = siblingAdvantages(tree.parents, childMeans(tree).values, { norm });
        const { nodes, first } = tree;
        return {
          advantages: nodes.map((row) => Float64Array.from(row, (node) => advantages[node]!)),
          trained: nodes.map((row, i) =>
            Uint8Array.from(row, (node, j) => (hasSignal[node] === true ? first[i]![j]! : 0)),
          ),
          hasSignal: hasSignal.some(Boolean),
        };
      }),
  } satisfies AdvantagePart);
}

export const treeRpoAdvantageCard: MethodCard = {
  name: "tree-rpo",
  title: "TreeRPO advantage",
  stage: "advantage",
  line: "every set of sibling calls of branching episodes is a group of its own: dense credit without a critic",
  use: 'import { treeRpoAdvantage } from "troupe/methods"',
  formula: [
    "V of an inner call = mean of its children's V; of a last call = the episode's reward",
    "A = (V − mean over siblings) / norm, for the tokens of that call alone",
  ],
  defaults: { norm: { value: "none", source: "two independent re-implementations" } },
  source: "TreeRPO (arXiv 2506.05183)",
  notes: ["RECONSTRUCTED: the Bernoulli normaliser √(μ(1 − μ)), optional"],
};
