/**
 * @file The search of MARS²: AB-MCTS whose participants are policies (or teams of them) and whose nodes are whole attempts,
 * a child going on from its parent's end under a task that allows one more.
 *
 * Source: MARS² (arXiv 2604.14564) and MARTI-MARS² (2602.07848): 8 nodes a tree in the public scripts, expanded one after
 * the other. Beta posterior and node-first Thompson: CHOSEN among what paper and code say (`ab-mcts.ts`).
 */

import type { Trajectory } from "../workflow/trajectory.ts";
import { type AbMctsOptions, abMcts, type ParticipantAction } from "./ab-mcts.ts";
import type { Branching } from "./episodes.ts";
import { SearchError } from "./errors.ts";
import { beta } from "./posterior.ts";
import type { SearchPlan } from "./search.ts";

type Team = Readonly<Record<string, string>>;

interface MarsSearchSettings<Task>
  extends Partial<
    Pick<AbMctsOptions, "nodes" | "posterior" | "strategy" | "estimate" | "pending" | "genWeight">
  > {
  /** The task of a child: the parent's, with one more attempt allowed. */
  readonly more: (task: Task, action: ParticipantAction) => Task;
  /** Expansions of one tree in flight. Default 1: the same tree for the same seed. */
  readonly concurrency?: number;
}

export type MarsSearchOptions<Task> = MarsSearchSettings<Task> &
  (
    | {
        /**
         * Participants: each is the policy of all `agents` in the nodes that it makes. A run trains the policies that its own
         * `assign` or `teams` name, so a run of several takes `teams`.
         */
        readonly policies: readonly string[];
        readonly agents: readonly string[];
        readonly teams?: never;
      }
    | {
        /** Participants: teams by name with agent → policy, or the names of the run's own `teams`. */
        readonly teams: Readonly<Record<string, Team>> | readonly string[];
        readonly policies?: never;
        readonly agents?: never;
      }
  );

/** What runs take as `search`, and `evaluateSearch` too. */
export interface MarsSearch<Task> {
  plan(): SearchPlan<Trajectory, ParticipantAction>;
  /** Absent where participants are the run's own teams. */
  assign?(action: ParticipantAction): Team;
  branch(parent: Trajectory, action: ParticipantAction): Branching<Task>;
  readonly concurrency: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

/**
 * Defaults: 8 nodes (public scripts), `beta()`, strategy "thompson", one expansion in flight.
 *
 * @throws SearchError E_SEARCH_OPTION without a participant or an agent, or with one twice.
 * @example
 * const teams = { small: { coder: "small" }, large: { coder: "large" } };
 * train({ …, teams, search: marsSearch({ teams, more: (task) => ({ ...task, attempts: task.attempts + 1 }) }) });
 */
export function marsSearch<Task>(options: MarsSearchOptions<Task>): MarsSearch<Task> {
  const { policies, agents, teams, more, concurrency = 1, ...rest } = options;
  const {
    nodes = 8,
    posterior = beta(),
    strategy = "thompson",
    estimate = "sample",
    pending = "ignore",
  } = rest;
  const participants = policies ?? (isNames(teams) ? teams : Object.keys(teams));
  const plan = () =>
    abMcts<Trajectory>({ ...rest, nodes, posterior, strategy, estimate, pending, participants });
  // Says now what would else be said in the first step.
  plan();
  if (agents?.length === 0) throw noAgent();
  const assign =
    policies !== undefined
      ? ({ participant }: ParticipantAction): Team =>
          Object.fromEntries(agents.map((agent) => [agent, participant]))
      : isNames(teams)
        ? undefined
        : ({ participant }: ParticipantAction): Team => teams[participant]!;
  return Object.freeze({
    plan,
    ...(assign === undefined ? {} : { assign }),
    // The episode was started by this very search, with a task of this type.
    branch: (parent: Trajectory, action: ParticipantAction) => ({
      at: parent.calls.length,
      task: more(parent.task as Task, action),
    }),
    concurrency,
    settings: Object.freeze({
      ...{ name: "mars2", nodes, participants, strategy, posterior: posterior.name, estimate, pending },
      ...(agents === undefined ? {} : { agents }),
    }),
  });
}

function isNames(teams: Readonly<Record<string, Team>> | readonly string[]): teams is readonly string[] {
  return Array.isArray(teams);
}

function noAgent(): SearchError {
  return new SearchError({
    code: "E_SEARCH_OPTION",
    message: "marsSearch() was given no agents, so its policies would make no node.",
    hint: 'name those that the participants play, for example agents: ["coder"].',
  });
}
