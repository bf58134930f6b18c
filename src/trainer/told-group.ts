/** @file A group of episodes as methods are told of it: complete episodes, and their calls that can be learned from. */

import { isTrainable } from "../engine/policy-spec.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../methods/method.ts";
import { key } from "../random/stream.ts";
import {
  type CallRecord,
  callReward,
  callTerms,
  type ForkPoint,
  isOfWhole,
  ownReward,
  type RewardRecord,
  type Trajectory,
  trajectoryReward,
} from "../workflow/trajectory.ts";
import type { EpisodeRunner, Group } from "./groups.ts";
import { teamOfSample } from "./teams.ts";

export type TellingRunner<Task> = Pick<EpisodeRunner<Task>, "settings" | "policies">;

/** A group as methods see it. `trajectories` and `calls` are what its episodes and calls were made of. */
export interface ToldGroup {
  readonly rewarded: RewardedGroup;
  readonly trajectories: readonly Trajectory[];
  /** [G][calls] */
  readonly calls: readonly (readonly CallRecord[])[];
}

/** The complete episodes of a group and their calls that can be trained; a failed episode is in no baseline. */
export function toldGroup<Task>(group: Group<Task>, { settings, policies }: TellingRunner<Task>): ToldGroup {
  const trajectories = group.trajectories.filter(
    ({ status, id }) => status === "complete" && group.omitted?.has(id) !== true,
  );
  const teams = settings.teams.size > 0;
  const trainable = (policy: string) => isTrainable(policies.get(policy)!);
  const calls = trajectories.map((trajectory) =>
    trajectory.calls.filter(
      ({ status, origin, policy }) =>
        // Teams may learn from a frozen one.
        status === "complete" && origin === "sampled" && (teams || trainable(policy)),
    ),
  );
  const places = new Map(trajectories.map(({ id }, place) => [id, place]));
  const episodes = trajectories.map((trajectory, i): RewardedEpisode => {
    const reward = trajectoryReward(trajectory);
    return {
      id: trajectory.id,
      reward,
      terms: byName(trajectory.rewards.filter(isOfWhole)),
      result: trajectory.result,
      calls: calls[i]!.map((call) => ({
        ...rewardedCall(trajectory, call),
        ...(trainable(call.policy) ? {} : { frozen: true }),
      })),
      ...(group.recalled?.has(trajectory.id) === true ? { recalled: true } : {}),
      ...(teams && group.parents === undefined
        ? { team: teamOfSample(settings, trajectory.identity.sample) }
        : {}),
      ...(group.parents === undefined ? {} : { parent: parentPlace(trajectory.id, group.parents, places) }),
    };
  });
  const reflection = group.reflection === true ? { reflection: true } : {};
  return { rewarded: { ...taskFacts(group.task), ...reflection, episodes }, trajectories, calls };
}

/** The nearest ancestor that is in the group: one that a term could not score has left it. */
function parentPlace(
  id: string,
  parents: ReadonlyMap<string, string | undefined>,
  places: ReadonlyMap<string, number>,
): number {
  let above = parents.get(id);
  while (above !== undefined && !places.has(above)) above = parents.get(above);
  return above === undefined ? -1 : places.get(above)!;
}

function rewardedCall(trajectory: Trajectory, call: CallRecord): RewardedCall {
  const { agent, policy, occurrence, scope, output, id, input, stopReason, text, logprobs } = call;
  return {
    agent,
    policy,
    occurrence,
    scope,
    reward: callReward(trajectory, call),
    own: ownReward(trajectory, call),
    terms: byName(callTerms(trajectory, call)),
    length: output.length,
    id,
    node: nodeOf(trajectory, id),
    state: typeof input === "string" ? input : JSON.stringify(input),
    truncated: stopReason === "length" || stopReason === "context",
    text,
    ...(logprobs.length === 0
      ? {}
      : { meanLogprob: logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length }),
  };
}

function byName(terms: readonly RewardRecord[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { name, value } of terms) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

/**
 * Which sampling a call is. A branch replays the calls before its branch point: they are the ones of the episode that it
 * branched off, or of the one that this one branched off.
 */
function nodeOf({ identity, forks }: Pick<Trajectory, "identity" | "forks">, id: number): string {
  let last = forks.length;
  while (last > 0 && id < forks[last - 1]!.at) last--;
  const { purpose, step, group, sample } = identity;
  const branches = forks.slice(0, last).map(({ at, branch }: ForkPoint) => `@${at}.${branch}`);
  return `${purpose}/${step}/${group}/${sample}${branches.join("")}#${id}`;
}

/** True if a call of an episode was sampled for it, and not for the one that it branched off. */
export function isOwnCall({ forks }: Pick<Trajectory, "forks">, { id }: Pick<CallRecord, "id">): boolean {
  const last = forks.at(-1);
  return last === undefined || id >= last.at;
}

function taskFacts(task: unknown): Pick<RewardedGroup, "task" | "dataset"> {
  const dataset =
    typeof task === "object" && task !== null && "dataset" in task && typeof task.dataset === "string"
      ? task.dataset
      : "";
  return { task: taskName(task), dataset };
}

/** `RewardedGroup.task`: equal tasks have one name. */
export const taskName = (task: unknown): string => Array.from(key(JSON.stringify(task) ?? "")).join("-");
