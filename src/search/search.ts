/**
 * @file Tree search in one loop: select, expand, value, back up. What a node is and where the tree grows are functions;
 * the shape of the loop follows mctx (`search` over `root_action_selection_fn` and the like).
 */

import { type Key, key as keyOf, Stream } from "../random/stream.ts";
import type { Gate } from "../workflow/gate.ts";
import { type NodeFailure, nodeFailure, SearchError } from "./errors.ts";
import { type CompleteNode, type PendingNode, type SearchNode, Tree, type TreeView, treeOf } from "./tree.ts";

/** Where the tree grows next, and how. */
export interface Choice<Action> {
  /** −1 (root) or the index of a complete node. */
  readonly parent: number;
  readonly action: Action;
}

export interface SelectContext {
  /** The index that the node will have. */
  readonly index: number;
  /** Named by the search's key and the index, so that neither time nor a restart changes a draw. */
  readonly random: Stream;
}

/**
 * Chooses the next expansion. It is asked again after each node that settles, and must follow from the tree and the
 * context alone: then a search that is taken up again goes on as it would have.
 * undefined: nothing for now, and, once nothing is pending, the end of the search.
 */
export type Select<State, Action> = (
  tree: TreeView<State, Action>,
  context: SelectContext,
) => Choice<Action> | undefined;

export interface ExpandRequest<State, Action> {
  readonly index: number;
  readonly action: Action;
  /** undefined = root. */
  readonly parent: CompleteNode<State, Action> | undefined;
  readonly signal: AbortSignal | undefined;
}

export type Expansion<State> =
  | { readonly status: "complete"; readonly state: State }
  | { readonly status: "failed"; readonly failure: NodeFailure; readonly state?: State }
  /** Stopped from outside: the node stays pending. */
  | { readonly status: "cancelled" };

/** Makes a node. What it throws is the node's failure, not the search's. */
export type Expand<State, Action> = (request: ExpandRequest<State, Action>) => Promise<Expansion<State>>;

/** What the shipped samplers return: spread it into the options. */
export interface SearchPlan<State, Action> {
  /** Nodes of the finished tree; at most this many if `select` ends earlier. */
  readonly nodes: number;
  readonly select: Select<State, Action>;
}

export interface SearchOptions<State, Action> extends SearchPlan<State, Action> {
  readonly expand: Expand<State, Action>;
  /** A finite number, higher is better. What it throws is the node's failure. */
  readonly value: (state: State, node: PendingNode<Action>) => number | Promise<number>;
  /** Names all random draws of this tree; for example `key(seed, "search", step, group)`. */
  readonly key: Key;
  /** Expansions of this tree in flight. Default 1: strictly sequential, and the same tree for the same key. */
  readonly concurrency?: number;
  /** Shared by several trees: bounds their expansions together. */
  readonly gate?: Gate;
  /** A tree to go on from. Its pending nodes are expanded first. It is not changed. */
  readonly tree?: TreeView<State, Action>;
  /** Hears of each node when it is chosen and when it ends, for a journal. What it throws ends the search. */
  readonly onNode?: (node: SearchNode<State, Action>) => void;
  /** Aborts: nothing more is expanded, and the tree is returned as it is. */
  readonly signal?: AbortSignal;
}

/**
 * Grows a tree to `nodes` nodes. A failed expansion is a node of status "failed"; it counts, and the search goes on.
 *
 * @returns the tree. Nodes are pending only if the search was stopped.
 * @throws SearchError for a budget that is none, and whatever `select` or `onNode` throws.
 * @example
 * const tree = await search({
 *   ...abMcts({ nodes: 64, participants: ["coder", "fixer"] }),
 *   expand: expandEpisodes({ … }),
 *   value: episodeValue,
 *   key: key(seed, "search", step, group),
 * });
 */
export async function search<State, Action>(
  options: SearchOptions<State, Action>,
): Promise<TreeView<State, Action>> {
  const { nodes, select, key, concurrency = 1, signal, onNode } = options;
  checkCount("nodes", nodes);
  checkCount("concurrency", concurrency);
  const tree = options.tree === undefined ? new Tree<State, Action>() : treeOf(options.tree.nodes);
  const interrupted = tree.nodes.filter((node) => node.status === "pending");
  const running = new Set<Promise<void>>();
  let fatal: { readonly error: unknown } | undefined;

  const next = (): PendingNode<Action> | undefined => {
    const again = interrupted.shift();
    if (again !== undefined) return again;
    const index = tree.nodes.length;
    if (index >= nodes) return undefined;
    const choice = select(tree, { index, random: new Stream(keyOf(...key, "select", index)) });
    if (choice === undefined) return undefined;
    const node = tree.add(choice.parent, choice.action);
    onNode?.(node);
    return node;
  };

  try {
    for (;;) {
      while (running.size < concurrency && signal?.aborted !== true) {
        const node = next();
        if (node === undefined) break;
        const one = grow(tree, node, options)
          .catch((error: unknown) => {
            fatal ??= { error };
          })
          .finally(() => running.delete(one));
        running.add(one);
      }
      if (running.size === 0) return tree;
      await Promise.race(running);
      if (fatal !== undefined) throw fatal.error;
    }
  } finally {
    await Promise.allSettled(running);
  }
}

/** Expands one node and enters what came of it. */
async function grow<State, Action>(
  tree: Tree<State, Action>,
  node: PendingNode<Action>,
  { expand, value, gate, signal, onNode }: SearchOptions<State, Action>,
): Promise<void> {
  const { index, action, parent } = node;
  const above = tree.nodes[parent];
  const fail = (failure: NodeFailure, state?: State) => {
    const failed = tree.settle(index, {
      status: "failed",
      failure,
      ...(state === undefined ? {} : { state }),
    });
    onNode?.(failed);
  };
  if (gate !== undefined) await new Promise<void>((resolve) => gate.enter(resolve));
  let expansion: Expansion<State>;
  try {
    if (signal?.aborted === true) return;
    expansion = await expand({
      index,
      action,
      parent: above?.status === "complete" ? above : undefined,
      signal,
    });
  } catch (error) {
    if (signal?.aborted === true) return;
    fail(nodeFailure(error, "E_EXPAND_THREW", index));
    return;
  } finally {
    gate?.leave();
  }
  if (expansion.status === "cancelled") return;
  if (expansion.status === "failed") {
    fail(expansion.failure, expansion.state);
    return;
  }
  const { state } = expansion;
  let settled: SearchNode<State, Action>;
  try {
    settled = tree.settle(index, { status: "complete", state, value: await value(state, node) });
  } catch (error) {
    fail(nodeFailure(error, "E_NODE_VALUE", index), state);
    return;
  }
  onNode?.(settled);
}

function checkCount(name: string, count: number): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new SearchError({
    code: "E_SEARCH_OPTION",
    message: `search() was given ${name} ${count}; it must be an integer of at least 1.`,
    facts: { [name]: count },
  });
}
