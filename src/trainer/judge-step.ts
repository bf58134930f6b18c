/** @file The middle of a step: what its sampled groups are rewarded with, and what each call is credited with. */

import { crashPoint } from "../store/crash-point.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { type CreditedGroup, creditGroups } from "./credit-groups.ts";
import { episodeLines } from "./episode-lines.ts";
import { giveRewards } from "./give-rewards.ts";
import { type Group, sampledNow } from "./groups.ts";
import type { LoopParts } from "./loop-parts.ts";

export interface JudgedStep<Task> {
  /** All that were sampled, with the run's own rewards. */
  readonly groups: readonly Group<Task>[];
  /** What was sampled in this step, failed episodes and dropped groups included. */
  readonly trajectories: readonly Trajectory[];
  /** What is trained on. */
  readonly credited: readonly CreditedGroup<Task>[];
  /** Failed episodes by "boundary/code". */
  readonly failures: Readonly<Record<string, number>>;
}

/**
 * undefined: the run was stopped meanwhile.
 * @throws RunStoppedError E_FAILURE_RATE; MethodSettingsError, LossError, RewardError of method and rewards.
 */
export async function judgeStep<Task>(
  { runner, folder, progress }: Pick<LoopParts<Task>, "runner" | "folder" | "progress">,
  sampled: readonly Group<Task>[],
  step: number,
): Promise<JudgedStep<Task> | undefined> {
  const { recordEpisodesEvery } = runner.settings;
  const evaluation = progress.newest;
  const groups = await giveRewards(sampled, runner, {
    step,
    stage: "train",
    learn: true,
    ...(evaluation === undefined ? {} : { evaluation }),
  });
  if (runner.signal.aborted) return undefined;
  const trajectories = sampledNow(groups);
  const credited = creditGroups(groups, runner);
  crashPoint("after rewards");
  if (recordEpisodesEvery > 0 && step % recordEpisodesEvery === 0)
    folder.episodes(String(step).padStart(6, "0"), episodeLines(trajectories, credited));
  const failures = progress.failures.check(trajectories, `step ${step}`);
  return { groups, trajectories, credited, failures };
}
