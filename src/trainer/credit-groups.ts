/** @file From groups of episodes to calls with advantages: what becomes of a method's answer. */

import { LossError } from "../methods/errors.ts";
import type { GroupCredit, RewardedCall, RewardedGroup } from "../methods/method.ts";
import type { CallRecord, Trajectory } from "../workflow/trajectory.ts";
import { givenCalls, type Refusals } from "./given-texts.ts";
import type { Group } from "./groups.ts";
import { type TellingRunner, type ToldGroup, toldGroup } from "./told-group.ts";

/** A call that will be trained on. */
export interface CreditedCall {
  readonly trajectory: Trajectory;
  readonly call: CallRecord;
  readonly advantage: number;
  /** Calls with the same link are seen together by the loss. */
  readonly link?: string;
  /** Sampled in an earlier step: its log-probs are those of other weights. */
  readonly recalled?: true;
  /** It waited for this update (`buffer`): its policy may have been updated since. */
  readonly carried?: true;
  /** Its output was given, and not sampled by its policy (`GivenText`): with the log-probs to compare with, or without. */
  readonly given?: "with log-probs" | "without log-probs";
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
  /** Texts that were given and could not be used. Default: none. */
  readonly refused?: Refusals;
}

/** Advantages of the groups of a step; dropped ones are left out. @throws LossError if a method's answer does not fit. */
export function creditGroups<Task>(
  groups: readonly Group<Task>[],
  runner: TellingRunner<Task>,
): readonly CreditedGroup<Task>[] {
  const { method } = runner.settings;
  const kept = groups.filter(({ dropped }) => dropped !== true);
  const told = kept.map((group) => toldGroup(group, runner));
  const rewarded = told.map((group) => group.rewarded);
  const credits = method.creditAll?.(rewarded) ?? rewarded.map(({ episodes }) => method.credit(episodes));
  return kept.map((group, k) =>
    credited(group, told[k]!, checkedCredit(method.name, told[k]!, credits[k]), runner),
  );
}

/** One group alone. */
export function creditGroup<Task>(group: Group<Task>, runner: TellingRunner<Task>): CreditedGroup<Task> {
  return creditGroups([group], runner)[0]!;
}

function credited<Task>(
  group: Group<Task>,
  told: ToldGroup,
  { advantages, hasSignal, trained, links, given = [] }: GroupCredit,
  runner: TellingRunner<Task>,
): CreditedGroup<Task> {
  const { rewarded, trajectories, calls } = told;
  const { task, dataset, episodes } = rewarded;
  const more = givenCalls(told, given, runner);
  return {
    group,
    hasSignal,
    ...(Object.keys(more.refused).length === 0 ? {} : { refused: more.refused }),
    rewarded,
    rewards: episodes.filter(({ recalled }) => recalled !== true).map(({ reward }) => reward),
    calls: trajectories
      .flatMap((trajectory, i) =>
        calls[i]!.flatMap((call, j): readonly CreditedCall[] => {
          if (trained?.[i]?.[j] === 0 || episodes[i]!.calls[j]!.frozen === true) return [];
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
      )
      .concat(more.calls),
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
