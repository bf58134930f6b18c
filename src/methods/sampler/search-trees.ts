/**
 * @file For runs with `search`: the episodes of a task are the nodes of a search tree, which the run grows and not the
 * method. It lets credit over branching episodes compose, and asks for nothing itself.
 *
 * Source: ours; MARS² (arXiv 2604.14564) trains on such trees.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { SamplerPart } from "../parts.ts";

/** @param groupSize Nodes a tree, for the run's estimates; the search decides. Default 8 (MARS²'s scripts). */
export function searchTrees(groupSize = 8): Omit<SamplerPart, "samples"> & { readonly samples: "tree" } {
  if (!Number.isInteger(groupSize) || groupSize < 2)
    throw wrongSetting(
      "searchTrees",
      "groupSize",
      groupSize,
      "an integer of at least 2: a node alone has nothing to be compared with",
    );
  return Object.freeze({
    stage: "sampler",
    name: "search-trees",
    samples: "tree",
    passive: true,
    settings: { groupSize },
    groupSize,
    next: () => [],
  } as const);
}

export const searchTreesCard: MethodCard = {
  name: "search-trees",
  title: "Search trees",
  stage: "sampler",
  line: "for runs with `search`: the nodes of a tree are the episodes of its task",
  use: 'import { searchTrees } from "troupe/methods"',
  formula: ["a tree of every task of the step, grown by the run's `search`"],
  defaults: { groupSize: { value: 8, source: "MARS² (public scripts: 8 nodes a tree)" } },
  source: "MARS² (arXiv 2604.14564); Tree-GRPO (2509.21240)",
};
