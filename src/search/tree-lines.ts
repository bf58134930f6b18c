/**
 * @file A tree as JSON lines, schema "troupe.tree/1". A node is written twice: when it is chosen and when it ends; the
 * later line counts. So a search that is killed has lost no more than the expansions that were in flight, and those it
 * makes again, under their old indexes and random keys.
 */

import { SearchError } from "./errors.ts";
import { type SearchNode, type Tree, type TreeView, treeOf } from "./tree.ts";

export const treeSchema = "troupe.tree/1";

/** One line, without the line break. `write` turns what a node holds into a JSON value. */
export function nodeLine<State, Action>(
  node: SearchNode<State, Action>,
  write: (state: State) => unknown,
): string {
  const { index, parent, depth, action, status } = node;
  const common = { schema: treeSchema, index, parent, depth, action, status };
  if (node.status === "pending") return JSON.stringify(common);
  const { settled } = node;
  const state = node.state === undefined ? {} : { state: write(node.state) };
  return JSON.stringify(
    node.status === "complete"
      ? { ...common, settled, value: node.value, ...state }
      : { ...common, settled, failure: node.failure, ...state },
  );
}

/** A whole tree, one node a line. */
export function treeLines<State, Action>(
  tree: TreeView<State, Action>,
  write: (state: State) => unknown,
): string {
  return tree.nodes.map((node) => `${nodeLine(node, write)}\n`).join("");
}

/**
 * Reads a tree back, also one that was cut off: an unfinished last line is left out.
 *
 * @param read what `write` made → what a node holds.
 * @throws SearchError if another line is no node, or the nodes are not one tree.
 * @example
 * const tree = readTree(await readFile(path, "utf8"), readTrajectoryJson);
 * await search({ ...plan, tree, expand, value, key });
 */
export function readTree<State, Action>(text: string, read: (state: unknown) => State): Tree<State, Action> {
  const lines = text.split("\n");
  const nodes: SearchNode<State, Action>[] = [];
  lines.forEach((line, at) => {
    if (line.trim() === "") return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      if (at === lines.length - 1) return;
      throw refuse(at, `is not JSON (${error instanceof Error ? error.message : String(error)})`);
    }
    const node = readNode<State, Action>(value, read, at);
    nodes[node.index] = node;
  });
  // A hole would be skipped by the checks on the tree.
  return treeOf(Array.from(nodes, (node, index) => node ?? missing(index)));
}

function readNode<State, Action>(
  value: unknown,
  read: (state: unknown) => State,
  at: number,
): SearchNode<State, Action> {
  if (typeof value !== "object" || value === null) throw refuse(at, "is not an object");
  const { schema, state, ...rest } = value as Record<string, unknown>;
  if (schema !== treeSchema)
    throw refuse(at, `has schema ${JSON.stringify(schema ?? null)}; this version reads ${treeSchema}`);
  const { index, status } = rest;
  if (!Number.isInteger(index) || (index as number) < 0)
    throw refuse(at, `has index ${JSON.stringify(index ?? null)}`);
  if (status !== "pending" && status !== "complete" && status !== "failed")
    throw refuse(at, `has status ${JSON.stringify(status ?? null)}`);
  // The writer is `nodeLine` above; `treeOf` checks how the nodes hang together, and `settle` the values.
  return { ...rest, ...(state === undefined ? {} : { state: read(state) }) } as SearchNode<State, Action>;
}

function missing(index: number): never {
  throw new SearchError({
    code: "E_TREE_LINES",
    message: `The lines have no node ${index}, though they have later ones.`,
    hint: "pass the whole file that the search has written.",
  });
}

function refuse(at: number, what: string): SearchError {
  return new SearchError({
    code: "E_TREE_LINES",
    message: `Line ${at + 1} ${what}, so it is not a node of a tree.`,
    hint: "pass the file that was written with `nodeLine` or `treeLines`.",
  });
}
