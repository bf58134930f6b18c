/**
 * @file Tree mean: a call of branching episodes is worth the mean reward of all episodes that go through it,
 *
 *   V_c = mean { R(τ) : τ contains c },   compared with the calls of the same agent (role), each call trained once
 *
 * so that a call before the branch point is judged by what became of it in general, and one behind it by its own ends.
 * With episodes that do not branch it is broadcast with baselines apart by agent.
 *
 * Source: C-3PO (arXiv 2502.06205), leaf mean, one-step samples batched by role; TreeMem (2605.04811) found it ahead of
 * broadcast, of hand-made local rewards and of their sum. C-3PO trains with PPO and a value head; comparing within the
 * role and the group is TreeMem's z-score (CHOSEN: within one task's group). An episode's reward is that of its last call.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { CreditAssigner } from "../parts.ts";
import { episodeTree } from "../tree/episode-tree.ts";
import { leafMeans } from "../tree/tree-mean.ts";

export interface TreeMeanSettings {
  /** Whose calls share a baseline. Default "agent". */
  readonly compare?: "agent" | "group";
}

export function treeMean({ compare = "agent" }: TreeMeanSettings = {}): CreditAssigner & {
  readonly wants: "tree";
} {
  if (compare !== "agent" && compare !== "group")
    throw wrongSetting("treeMean", "compare", compare, '"agent" or "group"');
  return Object.freeze({
    stage: "credit",
    name: "tree-mean",
    wants: "tree",
    settings: { compare },
    assign: (group) => {
      const worths = group.episodes.map(({ reward, calls }) => calls.at(-1)?.reward ?? reward);
      const tree = episodeTree(group, worths);
      const { values } = leafMeans(tree);
      return {
        values: tree.nodes.map((row) => Float64Array.from(row, (node) => values[node]!)),
        trained: tree.first,
        ...(compare === "group"
          ? {}
          : { compared: group.episodes.map(({ calls }) => calls.map(({ agent }) => agent)) }),
      };
    },
  } satisfies CreditAssigner);
}

export const treeMeanCard: MethodCard = {
  name: "tree-mean",
  title: "Tree mean",
  stage: "credit",
  line: "a call of branching episodes is worth the mean of all episodes that go through it",
  use: 'import { treeMean } from "troupe/methods"',
  formula: [
    "V_c = mean of R over the episodes that contain call c, compared with the calls of the same agent",
  ],
  defaults: { compare: { value: "agent", source: "TreeMem: z-score per role" } },
  source: "C-3PO (arXiv 2502.06205); TreeMem (2605.04811)",
  notes: ["CHOSEN: the role's z-score is taken within the group of one task"],
};
