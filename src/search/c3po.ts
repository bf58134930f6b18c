/**
 * @file The tree of C-3PO (arXiv 2502.06205): every strategy of the router is expanded once, deterministically, by putting
 * its text in the router's place; then each later turn is sampled n times (default 2). The credit of a turn is the leaf
 * mean of the turn tree (`leafMeans`), after duplicates among siblings have been dropped (`mergeSiblings`).
 *
 * A text that was put in is not sampled, so it is in the context of what follows and in no batch; to train the router
 * too, let it sample (TreeRPO's sampler from turn 0).
 */

import type { SearchPlan } from "./search.ts";
import { root } from "./tree.ts";
import { nextBranch } from "./tree-rpo.ts";
import type { BranchAction } from "./turn-tree.ts";

export interface C3poAction extends BranchAction {
  /** Put in place of turn `at`. */
  readonly edit?: string;
  /** A first episode, only there to be branched off: leave it out of the credit. */
  readonly probe?: true;
}

export interface C3poOptions<State> {
  /** The router's outputs, one a strategy: "[No Retrieval]", "[Planning]", … */
  readonly strategies: readonly string[];
  /** Which turn is the router's. Default 0. */
  readonly router?: number;
  /** n, default 2. */
  readonly samples?: number;
  /** Turns from here on are sampled once. Default: no limit, which grows with nᵗᵘʳⁿˢ; `nodes` ends it. */
  readonly depth?: number;
  /** Budget, the probe among it. */
  readonly nodes: number;
  /** How many turns a chain has. Of an episode: `episodeTurns`. */
  readonly turns: (state: State) => number;
}

/** Selection for `search`. A probe that fails is made again while the budget lasts. */
export function c3po<State>({
  strategies,
  router = 0,
  samples = 2,
  depth = Number.POSITIVE_INFINITY,
  nodes,
  turns,
}: C3poOptions<State>): SearchPlan<State, C3poAction> {
  return {
    nodes,
    select: (tree) => {
      const probe = tree.nodes.find(({ status, action }) => action.probe === true && status !== "failed");
      if (probe === undefined) return { parent: root, action: { at: 0, probe: true } };
      if (probe.status === "pending") return undefined;
      const strategy = tree.children(probe.index).length;
      if (strategy < strategies.length)
        return { parent: probe.index, action: { at: router, edit: strategies[strategy]! } };
      const include = (_: number, { probe: isProbe }: C3poAction) => isProbe !== true;
      const place = nextBranch(tree, { samples, depth, turns, include });
      return place && { parent: place.node, action: { at: place.at } };
    },
  };
}

/** For `turnTree`: all but the probe. */
export function withoutProbe(_: number, { probe }: C3poAction): boolean {
  return probe !== true;
}
