/**
 * @file What a finished tree is worth: one sample, the node that the search itself would hand out, and the best there is.
 * The search sees public scores; hidden ones are for the report and never reach a prompt or a choice.
 */

import { SearchError } from "./errors.ts";
import type { CompleteNode, TreeView } from "./tree.ts";

export interface SelectNode<State> {
  /** Public score. Default: the node's value. */
  readonly score?: (state: State, value: number) => number;
  /** A reward model's opinion, asked only about nodes that tie for the best score. (MARTI-MARS2-T+) */
  readonly rank?: (state: State) => number;
}

/**
 * The node that a search hands out: highest public score, then rank; ties go to the latest node.
 * @throws SearchError if no node is complete, or a score or rank is not a finite number.
 */
export function selectNode<State, Action>(
  tree: TreeView<State, Action>,
  { score = (_, value) => value, rank = () => 0 }: SelectNode<State> = {},
): CompleteNode<State, Action> {
  const scored = tree.nodes
    .filter((node) => node.status === "complete")
    .map((node) => ({ node, score: finite(score(node.state, node.value), node.index) }));
  const highest = Math.max(...scored.map(({ score: value }) => value));
  const best = scored.filter(({ score: value }) => value === highest).map(({ node }) => node);
  const last = best.at(-1);
  if (last === undefined) throw nothingComplete(tree);
  if (best.length === 1) return last;
  const ranks = best.map(({ state, index }) => finite(rank(state), index));
  return best[ranks.lastIndexOf(Math.max(...ranks))] ?? last;
}

export interface SearchScores {
  /** Node 0, one fresh sample; undefined if it failed or is pending. */
  readonly pass1: boolean | undefined;
  /** The selected node: Pass@1 (search). */
  readonly passSearch: boolean;
  /** Any node: Pass@N, with N complete nodes. */
  readonly passN: boolean;
  readonly complete: number;
  readonly failed: number;
  /** Index of the selected node. */
  readonly selected: number;
}

/**
 * @param hidden whether a node passes the hidden tests.
 * @throws SearchError if no node is complete: a tree without an answer is not a wrong answer.
 */
export function searchScores<State, Action>(
  tree: TreeView<State, Action>,
  hidden: (state: State) => boolean,
  selection: SelectNode<State> = {},
): SearchScores {
  const selected = selectNode(tree, selection);
  const passed = new Map<number, boolean>();
  for (const node of tree.nodes) if (node.status === "complete") passed.set(node.index, hidden(node.state));
  return {
    pass1: passed.get(0),
    passSearch: passed.get(selected.index)!,
    passN: [...passed.values()].includes(true),
    complete: passed.size,
    failed: tree.nodes.filter(({ status }) => status === "failed").length,
    selected: selected.index,
  };
}

function finite(score: number, index: number): number {
  if (Number.isFinite(score)) return score;
  throw new SearchError({
    code: "E_NODE_VALUE",
    message: `Node ${index} was given the score or rank ${score}; it must be a finite number.`,
    facts: { index },
  });
}

function nothingComplete(tree: TreeView<unknown, unknown>): SearchError {
  const codes = tree.nodes.flatMap((node) => (node.status === "failed" ? [node.failure.code] : []));
  return new SearchError({
    code: "E_SEARCH_EMPTY",
    message: `None of the tree's ${tree.nodes.length} nodes is complete${codes.length === 0 ? "" : `; they failed with ${[...new Set(codes)].join(", ")}`}.`,
    hint: "look at the failures of its nodes.",
    facts: { nodes: tree.nodes.length },
  });
}
