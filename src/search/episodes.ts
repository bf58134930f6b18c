/**
 * @file Trees of episodes: a node is a trajectory, under the root a fresh one, elsewhere its parent's forked at a call
 * (or taken on from its end). No workflow has to know of the search, and no user code is snapshotted.
 */

import type { AnyPolicy } from "../engine/policy.ts";
import { type EpisodeSettings, runEpisode } from "../workflow/episode.ts";
import { RewardError } from "../workflow/errors.ts";
import { forkEpisode } from "../workflow/fork.ts";
import {
  type CallRecord,
  type EpisodeIdentity,
  isOfWhole,
  type Trajectory,
  trajectoryReward,
} from "../workflow/trajectory.ts";
import { readTrajectory, trajectoryLine } from "../workflow/trajectory-json.ts";
import type { Workflow } from "../workflow/workflow.ts";
import type { Expand, Expansion } from "./search.ts";
import { type CompleteNode, root, type TreeView } from "./tree.ts";

/** Where a child leaves its parent's episode. */
export interface Branching<Task> {
  /** The call that is made anew; the number of the parent's calls: it goes on from its end. */
  readonly at: number;
  /** Put in place of that call. */
  readonly edit?: { readonly text: string };
  /** Another task, for example one that allows a further attempt. */
  readonly task?: Task;
}

type Assignment = ReadonlyMap<string, string>;

export interface EpisodeExpansion<Task, Action> extends EpisodeSettings {
  readonly workflow: Workflow<Task>;
  readonly task: Task;
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** φ: agent → policy; or a function, where the action says who makes the node. */
  readonly assignment: Assignment | ((action: Action) => Assignment);
  readonly stage: Trajectory["stage"];
  /** Without the sample: that is the node's index, so that all nodes have ids and random keys of their own. */
  readonly identity: Omit<EpisodeIdentity, "sample">;
  readonly seed: number;
  /** Default: the action's own `at` and `edit`. See also `goOn`. */
  readonly branch?: (parent: Trajectory, action: Action) => Branching<Task>;
  /** A complete episode without any reward fails. Default: true in training. */
  readonly needsReward?: boolean;
}

/**
 * Expansion for `search`. A failed episode is a failed node with the episode's own failure, and keeps its trajectory.
 *
 * @example
 * const expand = expandEpisodes({ workflow: atlas, task, policies, assignment, stage: "train", identity, seed });
 * const tree = await search({ ...treeGrpo({ turns: episodeTurns }), expand, value: episodeValue, key: key(seed, "search") });
 */
export function expandEpisodes<Task, Action>(
  options: EpisodeExpansion<Task, Action>,
): Expand<Trajectory, Action> {
  const { workflow, task, policies, stage, identity, seed, needsReward, branch = ownBranching } = options;
  const settings: EpisodeSettings = settingsOf(options);
  return async ({ index, action, parent, signal }) => {
    const assignment =
      typeof options.assignment === "function" ? options.assignment(action) : options.assignment;
    const common = {
      ...settings,
      workflow,
      policies,
      assignment,
      stage,
      ...(needsReward === undefined ? {} : { needsReward }),
      ...(signal === undefined ? {} : { signal }),
    };
    if (parent === undefined)
      return expansionOf(
        await runEpisode({ ...common, task, identity: { ...identity, sample: index }, seed }),
      );
    const branching = branch(parent.state, action);
    return expansionOf(
      await forkEpisode({ ...common, ...branching, trajectory: parent.state, branch: index }),
    );
  };
}

function ownBranching(_: Trajectory, action: unknown): Branching<never> {
  const { at, edit } = action as { readonly at?: unknown; readonly edit?: unknown };
  if (typeof at !== "number") {
    throw new TypeError(
      `The action ${JSON.stringify(action)} does not say at which call to branch off: give expandEpisodes a \`branch\` function, for example goOn(…).`,
    );
  }
  return typeof edit === "string" ? { at, edit: { text: edit } } : { at };
}

/**
 * Branching for trees whose nodes are whole attempts (AB-MCTS, MARS²): a child goes on from its parent's end, under a task
 * that allows one more. The workflow must ask for the same things up to there, whatever the task allows.
 *
 * @example
 * branch: goOn((task: Puzzle) => ({ ...task, attempts: task.attempts + 1 }))
 */
export function goOn<Task>(more: (task: Task) => Task): (parent: Trajectory) => Branching<Task> {
  // The episode was started by this very expansion, with a task of this type.
  return (parent) => ({ at: parent.calls.length, task: more(parent.task as Task) });
}

function settingsOf({ deadlines, limits, gates, clock, prompts, memory, watchdog }: EpisodeSettings) {
  const all = { deadlines, limits, gates, clock, prompts, memory, watchdog };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  ) as EpisodeSettings;
}

function expansionOf(trajectory: Trajectory): Expansion<Trajectory> {
  const { status, failure } = trajectory;
  if (status === "complete") return { status, state: trajectory };
  if (failure === undefined) return { status: "cancelled" };
  const { code, message, hint, boundary } = failure;
  return {
    status: "failed",
    failure: { code, message, boundary, ...(hint === undefined ? {} : { hint }) },
    state: trajectory,
  };
}

/** Turns of an episode for the samplers: its calls, by id. */
export function episodeTurns({ calls }: Trajectory): number {
  return calls.length;
}

/** What a call said, for samplers that compare turns. */
export function episodeText({ calls }: Trajectory, turn: number): string {
  return calls[turn]?.text ?? "";
}

/**
 * The sum of the rewards that count for the whole trajectory.
 * @throws RewardError if there is none: it is not taken for a zero.
 */
export function episodeValue(trajectory: Trajectory): number {
  if (trajectory.rewards.some(isOfWhole)) return trajectoryReward(trajectory);
  throw new RewardError({
    boundary: "reward",
    code: "E_REWARD_MISSING",
    message: `Episode ${trajectory.id} has no reward for the whole trajectory, so the node has no value.`,
    hint: "call reward(value) in the workflow, or give search() a `value` function.",
    facts: { episode: trajectory.id },
  });
}

/**
 * The calls that a node made itself; those before its branch point are its parent's. Over all nodes of a tree each call is
 * listed once, which is what training wants.
 */
export function ownCalls<Action>(
  tree: TreeView<Trajectory, Action>,
  { parent, state }: Pick<CompleteNode<Trajectory, Action>, "parent" | "state">,
): readonly CallRecord[] {
  if (parent === root) return state.calls;
  const at = state.forks.at(-1)?.at ?? 0;
  const above = tree.nodes[parent];
  const earlier = above?.status === "complete" ? above.state.calls : [];
  // A call that its parent had issued before, but that never settled there, was made anew.
  return state.calls.filter(({ id }) => id >= at || !(earlier[id] !== undefined && earlier[id].settled >= 0));
}

/** For `nodeLine` and `treeLines`. A node's line holds its whole episode, shared prefix included. */
export function trajectoryJson(trajectory: Trajectory): unknown {
  return JSON.parse(trajectoryLine(trajectory));
}

/** For `readTree`. */
export function readTrajectoryJson(value: unknown): Trajectory {
  return readTrajectory(JSON.stringify(value));
}
