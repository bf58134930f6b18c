/**
 * @file Tree-GRPO's advantage, over episodes that branch: an episode is compared with all of its task (inter-tree) and
 * with those that branched off the same one (intra-tree),
 *
 *   A_i = z over all + z within the tree,   z = (r − mean) / (std + ε), std with n − 1
 *
 * and every token of every call of the episode gets it. A call that several episodes share is trained once in each of
 * them, so that its effective advantage is the sum, as in the official code; `shared: "once"` trains it once with the mean
 * of theirs (ours, CHOSEN).
 *
 * Source: Tree-GRPO (arXiv 2509.21240) and its official code. An episode's reward is that of its last call.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { episodeTree } from "../tree/episode-tree.ts";
import { type TreeGrpoAdvantage, treeGrpoAdvantages } from "../tree/tree-grpo.ts";

export interface TreeGrpoAdvantageSettings extends TreeGrpoAdvantage {
  /** Default "each": a call that n episodes share is trained n times (official code). */
  readonly shared?: "each" | "once";
}

export function treeGrpoAdvantage(given: TreeGrpoAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<TreeGrpoAdvantageSettings> = {
    form: "sum",
    ddof: 1,
    epsilon: 1e-6,
    single: "zero",
    shared: "each",
    ...given,
  };
  const oneOf = {
    form: ["sum", "nested"],
    ddof: [0, 1],
    single: ["zero", "raw"],
    shared: ["each", "once"],
  } as const;
  for (const [name, allowed] of Object.entries(oneOf)) {
    const value = settings[name as keyof typeof oneOf];
    if (!(allowed as readonly unknown[]).includes(value))
      throw wrongSetting(
        "treeGrpoAdvantage",
        name,
        value,
        allowed.map((one) => JSON.stringify(one)).join(" or "),
      );
  }
  if (!(settings.epsilon >= 0 && Number.isFinite(settings.epsilon)))
    throw wrongSetting("treeGrpoAdvantage", "epsilon", settings.epsilon, "a finite number of at least 0");
  return Object.freeze({
    stage: "advantage",
    name: "tree-grpo",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) => groups.map((judged) => ofGroup(judged, settings)),
  } satisfies AdvantagePart);
}

function ofGroup(
  { group, values }: JudgedGroup,
  settings: Required<TreeGrpoAdvantageSettings>,
): GroupAdvantages {
  const worths = values.map((row, i) => row.at(-1) ?? group.episodes[i]!.reward);
  const { nodes, first, trees, parents } = episodeTree(group, worths);
  const ofEpisode = treeGrpoAdvantages(trees, worths, settings);
  const hasSignal = ofEpisode.some((advantage) => advantage !== 0);
  if (settings.shared === "each") {
    return { hasSignal, advantages: nodes.map((row, i) => new Float64Array(row.length).fill(ofEpisode[i]!)) };
  }
  const sums = new Float64Array(parents.length);
  const counts = new Float64Array(parents.length);
  nodes.forEach((row, i) => {
    for (const node of row) {
      sums[node]! += ofEpisode[i]!;
      counts[node]! += 1;
    }
  });
  return {
    hasSignal,
    advantages: nodes.map((row) => Float64Array.from(row, (node) => sums[node]! / counts[node]!)),
    trained: first,
  };
}

export const treeGrpoAdvantageCard: MethodCard = {
  name: "tree-grpo",
  title: "Tree-GRPO advantage",
  stage: "advantage",
  line: "branching episodes are compared with all of the task and with those of their own tree",
  use: 'import { treeGrpoAdvantage } from "troupe/methods"',
  formula: ["A = z of the reward over all episodes of the task + z within its tree"],
  defaults: {
    form: { value: "sum", source: "paper" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "official code" },
    single: { value: "zero", source: "CHOSEN: verl's rule would give the raw reward" },
    shared: { value: "each", source: "official code" },
  },
  source: "Tree-GRPO (arXiv 2509.21240), official code",
  notes: ['CHOSEN: `shared: "once"` is ours'],
};
