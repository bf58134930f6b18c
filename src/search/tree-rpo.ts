/**
 * @file The N-ary sampler of TreeRPO (arXiv 2506.05183): every turn down to depth D is sampled N times. A chain that goes
 * to its end already is one child at each of its turns, so each turn is branched off N − 1 times more; N chains start at
 * the root. With chains of at least D turns there are N^D of them. Defaults CHOSEN (none were found in a source).
 */

import type { SearchPlan } from "./search.ts";
import { root, type TreeView } from "./tree.ts";
import type { BranchAction } from "./turn-tree.ts";

export interface TreeRpoOptions<State> {
  /** N, default 8. */
  readonly samples?: number;
  /** D, default 3. */
  readonly depth?: number;
  /** How many turns a chain has. Of an episode: `episodeTurns`. */
  readonly turns: (state: State) => number;
}

/** Selection for `search`; nodes are chosen in the order of their indexes, so any concurrency gives the same tree. */
export function treeRpo<State>({
  samples = 8,
  depth = 3,
  turns,
}: TreeRpoOptions<State>): SearchPlan<State, BranchAction> {
  return {
    nodes: samples ** depth,
    select: (tree) => {
      if (tree.children(root).length < samples) return { parent: root, action: { at: 0 } };
      const place = nextBranch(tree, { samples, depth, turns });
      return place && { parent: place.node, action: { at: place.at } };
    },
  };
}

export interface BranchOptions<State, Action> {
  readonly samples: number;
  readonly depth: number;
  readonly turns: (state: State) => number;
  /** Nodes whose turns are branched off. Default: all. */
  readonly include?: (node: number, action: Action) => boolean;
}

/**
 * The first turn, by node and place, that has fewer than `samples` siblings; undefined if there is none, or if an
 * earlier node is still pending.
 */
export function nextBranch<State, Action extends BranchAction>(
  tree: TreeView<State, Action>,
  { samples, depth, turns, include = () => true }: BranchOptions<State, Action>,
): { readonly node: number; readonly at: number } | undefined {
  for (const node of tree.nodes) {
    if (!include(node.index, node.action)) continue;
    if (node.status === "pending") return undefined;
    if (node.status === "failed") continue;
    const branches = new Map<number, number>();
    for (const child of tree.children(node.index)) {
      const { at } = tree.nodes[child]!.action;
      branches.set(at, (branches.get(at) ?? 0) + 1);
    }
    const end = Math.min(depth, turns(node.state));
    for (let at = node.action.at + 1; at < end; at++)
      if ((branches.get(at) ?? 0) < samples - 1) return { node: node.index, at };
  }
  return undefined;
}
