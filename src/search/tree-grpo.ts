/**
 * @file The sampler of Tree-GRPO (arXiv 2509.21240, official code). Step 1: M chains, one a tree. Step 2, L times: in each
 * tree draw N turns uniformly with replacement from the root and all turns that are not the last of their chain, and go
 * on from each to an end. Step 3: keep K leaves of each tree (`keepLeaves`). Chains per prompt: M·(1 + L·N).
 */

import { type Key, key as keyOf, Stream } from "../random/stream.ts";
import type { Choice, SearchPlan } from "./search.ts";
import { root, type TreeView } from "./tree.ts";
import type { BranchAction } from "./turn-tree.ts";

export interface TreeGrpoAction extends BranchAction {
  /** Which of the M trees: its leaves are compared with each other. */
  readonly tree: number;
}

export interface TreeGrpoOptions<State> {
  /** M, default 2. */
  readonly trees?: number;
  /** N, default 2. */
  readonly expansions?: number;
  /** L, default 1. */
  readonly rounds?: number;
  /** How many turns a chain has. Of an episode: `episodeTurns`. */
  readonly turns: (state: State) => number;
}

/**
 * Selection for `search`. The draws of a round see the tree as it was when the round began, so that the same tree comes
 * out with any concurrency. Turns of failed nodes are not drawn.
 */
export function treeGrpo<State>({
  trees = 2,
  expansions = 2,
  rounds = 1,
  turns,
}: TreeGrpoOptions<State>): SearchPlan<State, TreeGrpoAction> {
  return {
    nodes: trees * (1 + rounds * expansions),
    select: (view, { index, random }): Choice<TreeGrpoAction> | undefined => {
      if (index < trees) return { parent: root, action: { tree: index, at: 0 } };
      const later = index - trees;
      const round = Math.floor(later / (trees * expansions));
      const tree = Math.floor((later % (trees * expansions)) / expansions);
      const before = view.nodes.slice(0, trees + round * trees * expansions);
      const own = before.filter(({ action }) => action.tree === tree);
      if (own.some(({ status }) => status === "pending")) return undefined;
      // One place a turn that may be drawn: going on after turn i is branching off before turn i + 1.
      const places: Choice<TreeGrpoAction>[] = [{ parent: root, action: { tree, at: 0 } }];
      for (const node of own) {
        if (node.status !== "complete") continue;
        for (let at = node.action.at + 1; at < turns(node.state); at++)
          places.push({ parent: node.index, action: { tree, at } });
      }
      return random.pick(places);
    },
  };
}

/**
 * Step 3: at most `leaves` (K, default 3) complete nodes of each tree, drawn at random.
 *
 * @returns node indexes, ascending.
 */
export function keepLeaves<State>(
  view: TreeView<State, TreeGrpoAction>,
  { leaves = 3, key }: { readonly leaves?: number; readonly key: Key },
): number[] {
  const byTree = new Map<number, number[]>();
  for (const { index, status, action } of view.nodes) {
    if (status !== "complete") continue;
    const known = byTree.get(action.tree);
    if (known === undefined) byTree.set(action.tree, [index]);
    else known.push(index);
  }
  return [...byTree]
    .flatMap(([tree, indexes]) =>
      new Stream(keyOf(...key, "keep leaves", tree)).shuffled(indexes).slice(0, leaves),
    )
    .sort((left, right) => left - right);
}
