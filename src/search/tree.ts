/**
 * @file The tree of a search: nodes in the order in which they were expanded, each pending, complete or failed. It is
 * generic over what a node holds (an episode, or anything in a test) and over the action that made it.
 */

import { type NodeFailure, SearchError } from "./errors.ts";
import { type Moments, noMoments, observed } from "./moments.ts";

/** The index of the root, which holds nothing: it stands for the task. Nodes count from 0. */
export const root = -1;

interface NodeBase<Action> {
  /** Place in the order of expansion, from 0. */
  readonly index: number;
  /** Smaller than `index`; −1 = root. */
  readonly parent: number;
  /** 1 for a child of the root. */
  readonly depth: number;
  /** What made it: plain data, so that a tree survives as JSON. */
  readonly action: Action;
}

/** Being expanded, or given up when the search was stopped. Nothing is expanded from it. */
export interface PendingNode<Action> extends NodeBase<Action> {
  readonly status: "pending";
}

export interface CompleteNode<State, Action> extends NodeBase<Action> {
  readonly status: "complete";
  readonly state: State;
  /** Finite. Higher is better. */
  readonly value: number;
  /** Place in the order in which expansions ended. */
  readonly settled: number;
}

/** It counts against the budget, has no value, and nothing is expanded from it. */
export interface FailedNode<State, Action> extends NodeBase<Action> {
  readonly status: "failed";
  readonly failure: NodeFailure;
  /** As far as it got. */
  readonly state?: State;
  readonly settled: number;
}

export type SearchNode<State, Action> =
  | PendingNode<Action>
  | CompleteNode<State, Action>
  | FailedNode<State, Action>;

/** How an expansion ended. */
export type NodeOutcome<State> =
  | { readonly status: "complete"; readonly state: State; readonly value: number }
  | { readonly status: "failed"; readonly failure: NodeFailure; readonly state?: State };

/** A tree to look at. */
export interface TreeView<State, Action> {
  readonly nodes: readonly SearchNode<State, Action>[];
  /** How many nodes are pending. */
  readonly pending: number;
  /** Of a node or the root: all children, whatever their status, in the order of their expansion. */
  children(index: number): readonly number[];
  /** Values of the complete nodes below a node or the root, itself not among them. */
  below(index: number): Moments;
  /** Pending nodes below a node or the root. */
  pendingBelow(index: number): number;
}

export class Tree<State, Action> implements TreeView<State, Action> {
  readonly #nodes: SearchNode<State, Action>[] = [];
  // At position index + 1, so that the root is at 0.
  readonly #children: number[][] = [[]];
  readonly #below: Moments[] = [noMoments];
  readonly #pendingBelow: number[] = [0];
  #settled = 0;

  get nodes(): readonly SearchNode<State, Action>[] {
    return this.#nodes;
  }

  get pending(): number {
    return this.#pendingBelow[0]!;
  }

  children(index: number): readonly number[] {
    return this.#children[index + 1] ?? [];
  }

  below(index: number): Moments {
    return this.#below[index + 1] ?? noMoments;
  }

  pendingBelow(index: number): number {
    return this.#pendingBelow[index + 1] ?? 0;
  }

  /**
   * Adds a pending node.
   * @throws SearchError if the parent is neither the root nor a complete node.
   */
  add(parent: number, action: Action): PendingNode<Action> {
    const above = this.#nodes[parent];
    if (parent !== root && above?.status !== "complete") {
      throw new SearchError({
        code: "E_SEARCH_PARENT",
        message: `Node ${this.#nodes.length} cannot be expanded from node ${parent}, which ${above === undefined ? "does not exist" : `is ${above.status}`}.`,
        hint: "select the root (−1) or a complete node.",
        facts: { parent },
      });
    }
    const index = this.#nodes.length;
    const node = Object.freeze({
      index,
      parent,
      depth: (above?.depth ?? 0) + 1,
      action,
      status: "pending" as const,
    });
    this.#nodes.push(node);
    this.#children[parent + 1]!.push(index);
    this.#children.push([]);
    this.#below.push(noMoments);
    this.#pendingBelow.push(0);
    this.#climb(parent, (above) => {
      this.#pendingBelow[above]!++;
    });
    return node;
  }

  /**
   * Ends a pending node.
   * @throws SearchError if it is not pending, or its value is not a finite number.
   */
  settle(index: number, outcome: NodeOutcome<State>): SearchNode<State, Action> {
    const node = this.#nodes[index];
    if (node?.status !== "pending") {
      throw new SearchError({
        code: "E_SEARCH_SETTLED",
        message: `Node ${index} ${node === undefined ? "does not exist" : `is already ${node.status}`}.`,
        facts: { index },
      });
    }
    if (outcome.status === "complete" && !Number.isFinite(outcome.value)) {
      throw new SearchError({
        code: "E_NODE_VALUE",
        message: `Node ${index} has the value ${outcome.value}; a value is a finite number.`,
        hint: "let the value function throw where there is none: the node then fails, and the search goes on.",
        facts: { index },
      });
    }
    const settled = Object.freeze({ ...node, ...outcome, settled: this.#settled++ });
    this.#nodes[index] = settled;
    this.#climb(node.parent, (above) => {
      this.#pendingBelow[above]!--;
      if (outcome.status === "complete") this.#below[above] = observed(this.#below[above]!, outcome.value);
    });
    return settled;
  }

  #climb(from: number, visit: (position: number) => void): void {
    let index = from;
    for (;;) {
      visit(index + 1);
      if (index === root) return;
      index = this.#nodes[index]!.parent;
    }
  }
}

/**
 * The same tree again, from nodes in the order of their indexes (of another tree, or read from a file): outcomes are
 * entered in the order in which they came, so that also floating-point sums are the same.
 *
 * @throws SearchError if they do not make a tree: an index is missing, a parent comes later, the order of settling is no
 * permutation.
 */
export function treeOf<State, Action>(nodes: readonly SearchNode<State, Action>[]): Tree<State, Action> {
  const tree = new Tree<State, Action>();
  const ended = nodes
    .filter((node) => node.status !== "pending")
    .sort((left, right) => left.settled - right.settled);
  nodes.forEach(({ index, parent }, at) => {
    if (index !== at) throw broken(`has node ${index} where ${at} should be`);
    if (!Number.isInteger(parent) || parent < root || parent >= index)
      throw broken(`has node ${index} under node ${parent}`);
  });
  ended.forEach(({ settled }, at) => {
    if (settled !== at) throw broken(`has no node that settled as number ${at}`);
  });
  // A node is added once its parent has ended, however late that was.
  let added = 0;
  const addUpTo = (end: number) => {
    for (; added < end; added++) tree.add(nodes[added]!.parent, nodes[added]!.action);
  };
  for (const node of ended) {
    addUpTo(node.index + 1);
    if (node.status === "complete") tree.settle(node.index, node);
    else if (node.status === "failed") tree.settle(node.index, node);
  }
  addUpTo(nodes.length);
  return tree;
}

function broken(what: string): SearchError {
  return new SearchError({
    code: "E_TREE_BROKEN",
    message: `The nodes ${what}, so they are not one tree.`,
    hint: "pass all nodes of one search, in the order of their indexes.",
  });
}

/** Its complete nodes as plain columns, for credit over trees: parents are positions in these columns. */
export interface TreeColumns<State, Action> {
  readonly nodes: readonly CompleteNode<State, Action>[];
  /** [n] position of the parent in `nodes`; −1 = root. */
  readonly parents: readonly number[];
  /** [n] */
  readonly values: readonly number[];
}

export function completeNodes<State, Action>(tree: TreeView<State, Action>): TreeColumns<State, Action> {
  const nodes = tree.nodes.filter((node) => node.status === "complete");
  const positions = new Map(nodes.map(({ index }, position) => [index, position]));
  return {
    nodes,
    parents: nodes.map(({ parent }) => positions.get(parent) ?? root),
    values: nodes.map(({ value }) => value),
  };
}

export interface TreeStatistics {
  readonly nodes: number;
  readonly complete: number;
  readonly failed: number;
  readonly pending: number;
  readonly deepest: number;
  /** Nodes at depth 1, 2, …; whatever their status. */
  readonly widths: readonly number[];
  /** Mean and best value of the complete nodes; undefined if there is none. */
  readonly mean?: number;
  readonly best?: number;
  /** Failures by code. */
  readonly failures: Readonly<Record<string, number>>;
}

export function treeStatistics(tree: TreeView<unknown, unknown>): TreeStatistics {
  const widths: number[] = [];
  const failures: Record<string, number> = {};
  let best = Number.NEGATIVE_INFINITY;
  for (const node of tree.nodes) {
    widths[node.depth - 1] = (widths[node.depth - 1] ?? 0) + 1;
    if (node.status === "complete") best = Math.max(best, node.value);
    if (node.status === "failed") failures[node.failure.code] = (failures[node.failure.code] ?? 0) + 1;
  }
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  const { count, mean } = tree.below(root);
  return {
    nodes: tree.nodes.length,
    complete: count,
    failed,
    pending: tree.pending,
    deepest: widths.length,
    widths,
    ...(count === 0 ? {} : { mean, best }),
    failures,
  };
}
