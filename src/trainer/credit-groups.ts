/** @file From groups of episodes to calls with advantages: what a method is told, and what becomes of its answer. */

import { isTrainable } from "../engine/policy-spec.ts";
import { LossError } from "../methods/errors.ts";
import type { GroupCredit, RewardedCall, RewardedEpisode, RewardedGroup } from "../methods/method.ts";
import { key } from "../random/stream.ts";
import {
  type CallRecord,
  callReward,
  callTerms,
  type ForkPoint,
  ownReward,
  type RewardRecord,
  type Trajectory,
  trajectoryReward,
} from "../workflow/trajectory.ts";
import type { EpisodeRunner, Group } from "./groups.ts";

/** A call that will be trained on. */
export interface CreditedCall {
  readonly trajectory: Trajectory;
  readonly call: CallRecord;
  readonly advantage: number;
  /** Calls with the same link are seen together by the loss. */
  readonly link?: string;
  /** Sampled in an earlier step: its log-probs are those of other weights. */
  readonly recalled?: true;
  /** What the method was told of it. */
  readonly told?: { readonly task: string; readonly dataset: string; readonly rewarded: RewardedCall };
}

export interface CreditedGroup<Task> {
  readonly group: Group<Task>;
  readonly hasSignal: boolean;
  readonly calls: readonly CreditedCall[];
  /** Trajectory rewards of the complete episodes that were sampled now. */
  readonly rewards: readonly number[];
  /** What the method was told. */
  readonly rewarded: RewardedGroup;
}

type Runner<Task> = Pick<EpisodeRunner<Task>, "settings" | "policies">;

/** A group as methods see it. `trajectories` and `calls` are what its episodes and calls were made of. */
export interface ToldGroup {
  readonly rewarded: RewardedGroup;
  readonly trajectories: readonly Trajectory[];
  /** [G][calls] */
  readonly calls: readonly (readonly CallRecord[])[];
}

/** The complete episodes of a group and their calls that can be trained; a failed episode is in no baseline. */
export function toldGroup<Task>(group: Group<Task>, { policies }: Runner<Task>): ToldGroup {
  const trajectories = group.trajectories.filter(
    ({ status, id }) => status === "complete" && group.omitted?.has(id) !== true,
  );
  const calls = trajectories.map((trajectory) =>
    trajectory.calls.filter(
      (call) =>
        call.status === "complete" && call.origin === "sampled" && isTrainable(policies.get(call.policy)!),
    ),
  );
  const episodes = trajectories.map((trajectory, i): RewardedEpisode => {
    const reward = trajectoryReward(trajectory);
    return {
      id: trajectory.id,
      reward,
      terms: byName(trajectory.rewards.filter(isOfWhole)),
      result: trajectory.result,
      calls: calls[i]!.map((call) => rewardedCall(trajectory, call)),
      ...(group.recalled?.has(trajectory.id) === true ? { recalled: true } : {}),
    };
  });
  return { rewarded: { ...taskFacts(group.task), episodes }, trajectories, calls };
}

function rewardedCall(trajectory: Trajectory, call: CallRecord): RewardedCall {
  const { agent, occurrence, scope, output, id, input, stopReason, text } = call;
  return {
    agent,
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
  };
}

/** The terms that `trajectoryReward` adds up. */
const isOfWhole = ({ agent, call, scope, logged }: RewardRecord) =>
  agent === undefined && call === undefined && (scope ?? "") === "" && logged !== true;

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
  return { task: Array.from(key(JSON.stringify(task) ?? "")).join("-"), dataset };
}

/** Advantages of the groups of a step; dropped ones are left out. @throws LossError if a method's answer does not fit. */
export function creditGroups<Task>(
  groups: readonly Group<Task>[],
  runner: Runner<Task>,
): readonly CreditedGroup<Task>[] {
  const { method } = runner.settings;
  const kept = groups.filter(({ dropped }) => dropped !== true);
  const told = kept.map((group) => toldGroup(group, runner));
  const rewarded = told.map((group) => group.rewarded);
  const credits = method.creditAll?.(rewarded) ?? rewarded.map(({ episodes }) => method.credit(episodes));
  return kept.map((group, k) => credited(group, told[k]!, checkedCredit(method.name, told[k]!, credits[k])));
}

/** One group alone. */
export function creditGroup<Task>(group: Group<Task>, runner: Runner<Task>): CreditedGroup<Task> {
  return creditGroups([group], runner)[0]!;
}

function credited<Task>(
  group: Group<Task>,
  { rewarded, trajectories, calls }: ToldGroup,
  { advantages, hasSignal, trained, links }: GroupCredit,
): CreditedGroup<Task> {
  const { task, dataset, episodes } = rewarded;
  return {
    group,
    hasSignal,
    rewarded,
    rewards: episodes.filter(({ recalled }) => recalled !== true).map(({ reward }) => reward),
    calls: trajectories.flatMap((trajectory, i) =>
      calls[i]!.flatMap((call, j): readonly CreditedCall[] => {
        if (trained?.[i]?.[j] === 0) return [];
        const link = links?.[i]?.[j];
        return [
          {
            trajectory,
            call,
            advantage: advantages[i]![j]!,
            told: { task, dataset, rewarded: episodes[i]!.calls[j]! },
            ...(link === undefined ? {} : { link }),
            ...(episodes[i]!.recalled === true ? { recalled: true } : {}),
          },
        ];
      }),
    ),
  };
}

function checkedCredit(
  method: string,
  { calls, trajectories }: ToldGroup,
  credit: GroupCredit | undefined,
): GroupCredit {
  for (const [i, row] of calls.entries()) {
    const found = credit?.advantages[i];
    const bad = found?.findIndex((value) => !Number.isFinite(value)) ?? -1;
    if (credit !== undefined && found?.length === row.length && bad < 0) continue;
    const episode = trajectories[i]!.id;
    throw new LossError({
      code: bad < 0 ? "E_CREDIT_SHAPE" : "E_CREDIT_NOT_FINITE",
      message:
        bad < 0
          ? `Method "${method}" gives ${found?.length ?? "no"} advantages to the ${row.length} calls of episode ${episode}.`
          : `Method "${method}" gives call ${row[bad]!.id} (agent "${row[bad]!.agent}") of episode ${episode} the advantage ${found![bad]}.`,
      hint: "`credit` returns one array an episode, in order, with one finite number a call.",
      facts: { method, episode },
    });
  }
  return credit ?? { advantages: [], hasSignal: false };
}
