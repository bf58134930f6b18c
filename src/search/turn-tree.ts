/**
 * @file The tree of turns under a tree of branches. Where a node is a whole chain of turns that branches off its parent
 * at some turn (a forked episode: its calls), the turns that chains share are one turn, and each turn's children are
 * what was sampled in its place after it. This is the tree over which C-3PO, TreeMem, TreeRPO and Optima give credit;
 * no workflow has to be cut into pieces for it.
 */

import type { OutcomeTree } from "../methods/tree/tree-mean.ts";
import { root, type TreeView } from "./tree.ts";

/** Branches off before turn `at`: earlier turns are the parent's. 0 under the root. */
export interface BranchAction {
  readonly at: number;
}

export interface Turn {
  /** The node that sampled it. */
  readonly node: number;
  /** Its place in that node's chain, from 0: of an episode, the call's id. */
  readonly turn: number;
}

/** In columns; a parent comes before its children. */
export interface TurnTree extends OutcomeTree {
  /** [n] */
  readonly turns: readonly Turn[];
  /** [n] −1 = before the first turn. */
  readonly parents: readonly number[];
  /** [n] values of the chains that end with this turn. */
  readonly outcomes: readonly (readonly number[])[];
  /** [n] */
  readonly children: readonly (readonly number[])[];
  readonly rootChildren: readonly number[];
}

export interface TurnTreeOptions<State, Action> {
  /** How many turns a chain has. Of an episode: `episodeTurns`. */
  readonly turns: (state: State) => number;
  /** Nodes that count. Default: all complete ones. */
  readonly include?: (node: number, action: Action) => boolean;
}

/** The turn tree of the complete nodes. */
export function turnTree<State, Action extends BranchAction>(
  tree: TreeView<State, Action>,
  { turns: turnsOf, include = () => true }: TurnTreeOptions<State, Action>,
): TurnTree {
  const turns: Turn[] = [];
  const parents: number[] = [];
  const outcomes: number[][] = [];
  /** Of each node, the positions of the turns of its whole chain. */
  const chains = new Map<number, readonly number[]>();
  const chainOf = (node: number): readonly number[] => chains.get(node) ?? [];
  for (const node of tree.nodes) {
    if (node.status !== "complete") continue;
    const { at } = node.action;
    const chain = node.parent === root ? [] : chainOf(node.parent).slice(0, at);
    // A node that does not count still lends its prefix to those below it, but only through their own chains.
    const counts = include(node.index, node.action);
    const end = turnsOf(node.state);
    for (let turn = chain.length; turn < end; turn++) {
      parents.push(chain.at(-1) ?? root);
      chain.push(turns.length);
      turns.push({ node: node.index, turn });
      outcomes.push([]);
    }
    chains.set(node.index, chain);
    if (counts && chain.length > 0) outcomes[chain.at(-1)!]!.push(node.value);
  }
  return withoutDeadEnds(turns, parents, outcomes);
}

/** Leaves out turns that no counted chain passes through. */
function withoutDeadEnds(
  turns: readonly Turn[],
  parents: readonly number[],
  outcomes: readonly (readonly number[])[],
): TurnTree {
  const used = outcomes.map((list) => list.length > 0);
  for (let i = turns.length - 1; i >= 0; i--)
    if (used[i] === true && parents[i]! >= 0) used[parents[i]!] = true;
  const position = new Map<number, number>([[root, root]]);
  turns.forEach((_, i) => {
    if (used[i] === true) position.set(i, position.size - 1);
  });
  const kept = turns.flatMap((_, i) => (used[i] === true ? [i] : []));
  return linked(
    kept.map((i) => turns[i]!),
    kept.map((i) => position.get(parents[i]!)!),
    kept.map((i) => outcomes[i]!),
  );
}

function linked(
  turns: readonly Turn[],
  parents: readonly number[],
  outcomes: readonly (readonly number[])[],
): TurnTree {
  const children: number[][] = turns.map(() => []);
  const rootChildren: number[] = [];
  parents.forEach((parent, i) => {
    (parent === root ? rootChildren : children[parent]!).push(i);
  });
  return { turns, parents, outcomes, children, rootChildren };
}

/**
 * Makes one turn of siblings that are the same (C-3PO drops duplicates, Optima near-duplicates): the first stands for
 * all, and what follows the others follows it. `same` compares each sibling with those already kept.
 */
export function mergeSiblings(
  tree: TurnTree,
  same: (kept: Turn, other: Turn) => boolean,
): TurnTree & {
  /** [n of the old tree] where each old turn went. */
  readonly positions: readonly number[];
} {
  const turns: Turn[] = [];
  const parents: number[] = [];
  const outcomes: number[][] = [];
  const families = new Map<number, number[]>();
  const positions: number[] = [];
  tree.turns.forEach((turn, i) => {
    const above = tree.parents[i]!;
    const parent = above === root ? root : positions[above]!;
    const family = families.get(parent) ?? [];
    families.set(parent, family);
    let position = family.find((member) => same(turns[member]!, turn));
    if (position === undefined) {
      position = turns.length;
      turns.push(turn);
      parents.push(parent);
      outcomes.push([]);
      family.push(position);
    }
    outcomes[position]!.push(...tree.outcomes[i]!);
    positions.push(position);
  });
  return { ...linked(turns, parents, outcomes), positions };
}
