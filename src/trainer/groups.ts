/** @file Groups of episodes: which tasks a step takes, running them, and the credit of every call. */

import type { AnyPolicy } from "../engine/policy.ts";
import { isTrainable } from "../engine/policy-spec.ts";
import type { RewardedEpisode } from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import type { EffectJournal } from "../store/effect-journal.ts";
import type { EpisodeSettings } from "../workflow/episode.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import {
  type CallRecord,
  callReward,
  ownReward,
  type Trajectory,
  trajectoryReward,
} from "../workflow/trajectory.ts";
import type { TrainSettings } from "./config.ts";
import { runRecorded } from "./recorded-episode.ts";

/** What episodes of a run need, besides their task. */
export interface EpisodeRunner<Task> {
  readonly settings: TrainSettings<Task>;
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** What all episodes of the run share: gates, watchdog, prompt cache, limits, deadlines, memory. */
  readonly shared: EpisodeSettings;
  /** Where episodes in flight outlive a crash; without it nothing is recorded while they go on. */
  readonly journal?: EffectJournal | undefined;
  readonly signal: AbortSignal;
  /** Hears how many episodes of a batch have ended. */
  readonly onEpisode: (done: number, of: number) => void;
}

export interface Group<Task> {
  readonly task: Task;
  /** Index of the task in its source. */
  readonly index: number;
  readonly trajectories: readonly Trajectory[];
}

/** A call that will be trained on. */
export interface CreditedCall {
  readonly trajectory: Trajectory;
  readonly call: CallRecord;
  readonly advantage: number;
}

export interface CreditedGroup<Task> {
  readonly group: Group<Task>;
  readonly hasSignal: boolean;
  readonly calls: readonly CreditedCall[];
  /** Trajectory rewards of the complete episodes. */
  readonly rewards: readonly number[];
}

/** The tasks of a step: every epoch is a new keyed shuffle, so the order depends on the seed alone. */
export function tasksOfStep(tasks: number, tasksPerStep: number, step: number, seed: number): number[] {
  const chosen: number[] = [];
  let epoch = -1;
  let order: readonly number[] = [];
  for (let position = (step - 1) * tasksPerStep; position < step * tasksPerStep; position++) {
    if (Math.floor(position / tasks) !== epoch) {
      epoch = Math.floor(position / tasks);
      order = stream(seed, "task order", epoch).shuffled(Array.from({ length: tasks }, (_, index) => index));
    }
    chosen.push(order[position % tasks]!);
  }
  return chosen;
}

/** Runs `groupSize` episodes of each task, all at once up to the run's concurrency. */
export async function sampleGroups<Task>(
  { settings, policies, shared, journal, signal, onEpisode }: EpisodeRunner<Task>,
  tasks: readonly Task[],
  chosen: readonly number[],
  { purpose, step }: { readonly purpose: string; readonly step: number },
): Promise<Group<Task>[]> {
  const { groupSize } = settings.method;
  const places = chosen.flatMap((task, group) =>
    Array.from({ length: groupSize }, (_, sample) => ({ task, group, sample })),
  );
  const trajectories = await mapConcurrently(
    places,
    settings.concurrency.episodes,
    (place) =>
      runRecorded(journal, {
        ...shared,
        workflow: settings.workflow,
        task: tasks[place.task]!,
        policies,
        assignment: settings.assignment,
        stage: "train",
        identity: { purpose, step, ...place },
        seed: settings.seed,
        signal,
        // Where the run has terms of its own, they are what is missing until the group has ended.
        needsReward: settings.rewards === undefined,
      }),
    onEpisode,
  );
  return chosen.map((index, group) => ({
    task: tasks[index]!,
    index,
    trajectories: trajectories.slice(group * groupSize, (group + 1) * groupSize),
  }));
}

/** Advantages of a group's complete episodes; a failed episode is in no baseline and in no batch. */
export function creditGroup<Task>(
  group: Group<Task>,
  { settings, policies }: Pick<EpisodeRunner<Task>, "settings" | "policies">,
): CreditedGroup<Task> {
  const complete = group.trajectories.filter(({ status }) => status === "complete");
  const trained = complete.map(({ calls }) =>
    calls.filter(
      (call) =>
        call.status === "complete" && call.origin === "sampled" && isTrainable(policies.get(call.policy)!),
    ),
  );
  const rewarded: RewardedEpisode[] = complete.map((trajectory, i) => ({
    reward: trajectoryReward(trajectory),
    calls: trained[i]!.map((call) => ({
      agent: call.agent,
      occurrence: call.occurrence,
      scope: call.scope,
      reward: callReward(trajectory, call),
      own: ownReward(trajectory, call),
      length: call.output.length,
    })),
  }));
  const { advantages, hasSignal } = settings.method.credit(rewarded);
  const calls = complete.flatMap((trajectory, i) =>
    trained[i]!.map((call, j): CreditedCall => ({ trajectory, call, advantage: advantages[i]![j]! })),
  );
  return { group, hasSignal, calls, rewards: rewarded.map(({ reward }) => reward) };
}
