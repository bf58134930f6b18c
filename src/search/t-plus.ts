/**
 * @file MARTI-MARS2-T+, search at inference: AB-MCTS over 60 nodes whose GEN draw is multiplied by γ(d)^c, and a reward model
 * that ranks the nodes which pass the public tests. Works on any team, trained or not. Its third part, feedback on errors in
 * refinements alone (failing input, expected and actual; or error type and stack), is a matter of the workflow's prompt:
 * examples/puzzles has one.
 *
 * Source: MARTI-MARS² (arXiv 2602.07848), from summaries: no code was published. γ(d) and c are UNVERIFIED (`depthPenalty`).
 * CHOSEN: without a passer nothing is ranked, and the highest public score wins; ties go to the latest node. Stopping before
 * the budget is ours, off by default.
 */

import { type AbMctsOptions, abMcts, depthPenalty, type ParticipantAction } from "./ab-mcts.ts";
import { SearchError } from "./errors.ts";
import { selectNode } from "./metrics.ts";
import type { SearchPlan } from "./search.ts";
import type { CompleteNode, TreeView } from "./tree.ts";

export interface TPlusOptions<State> extends Omit<AbMctsOptions, "nodes" | "genWeight"> {
  /** Default 60 (paper). */
  readonly nodes?: number;
  /** γ, or γ(d) by the depth of the child to be made. Default 0.98 at every depth. */
  readonly gamma?: number | ((depth: number) => number);
  /** Public score from which a node passes. Default 1. */
  readonly pass?: number;
  /** A reward model's opinion, asked about passers only, when the tree is finished, and only if there are two. Default: none. */
  readonly rank?: (state: State) => number | Promise<number>;
  /** Ends the search once so many nodes pass. Default: never, the budget is used up. */
  readonly enough?: number;
}

export interface TPlus<State> extends SearchPlan<State, ParticipantAction> {
  /**
   * The node to hand out.
   * @throws SearchError if no node is complete, and what `rank` throws.
   */
  best(tree: TreeView<State, ParticipantAction>): Promise<CompleteNode<State, ParticipantAction>>;
}

/**
 * @throws SearchError E_SEARCH_OPTION
 * @example
 * const plan = tPlus<Trajectory>({ participants: ["small", "large"], rank: judge });
 * const tree = await search({ ...plan, expand, value: publicScore, key: key(seed, "search") });
 * const { state } = await plan.best(tree);
 */
export function tPlus<State>(options: TPlusOptions<State>): TPlus<State> {
  const { nodes = 60, gamma = 0.98, pass = 1, rank, enough = Number.POSITIVE_INFINITY, ...rest } = options;
  check("gamma", gamma, typeof gamma === "function" || (gamma > 0 && gamma <= 1), "above 0 and at most 1");
  check("pass", pass, Number.isFinite(pass), "a finite number");
  check("enough", enough, enough >= 1, "at least 1");
  const { select } = abMcts<State>({ ...rest, nodes, genWeight: depthPenalty(gamma) });
  const passersOf = (tree: TreeView<State, ParticipantAction>) =>
    tree.nodes.filter((node) => node.status === "complete" && node.value >= pass) as readonly CompleteNode<
      State,
      ParticipantAction
    >[];
  return Object.freeze({
    nodes,
    select: (tree, context) =>
      Number.isFinite(enough) && passersOf(tree).length >= enough ? undefined : select(tree, context),
    best: async (tree) => {
      const passers = passersOf(tree);
      if (rank === undefined || passers.length < 2) return selectNode(tree);
      const ranks = await Promise.all(passers.map(({ state }) => rank(state)));
      const byState = new Map(passers.map(({ state }, i) => [state, ranks[i]!]));
      // All passers tie, whatever their score: the reward model decides among them.
      return selectNode(tree, {
        score: (_, value) => Math.min(value, pass),
        rank: (state) => byState.get(state)!,
      });
    },
  } satisfies TPlus<State>);
}

function check(name: string, value: unknown, fits: boolean, wanted: string): void {
  if (fits) return;
  throw new SearchError({
    code: "E_SEARCH_OPTION",
    message: `tPlus() was given ${name} ${String(value)}; it must be ${wanted}.`,
    facts: { [name]: value },
  });
}
