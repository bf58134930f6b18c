/** @file Gives the rewards of a step: a term over all its groups. Trajectories are never changed, only made anew. */

import { isTrainable } from "../engine/policy-spec.ts";
import { type EpisodeFailure, failureOf } from "../workflow/errors.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import { callReward, type Trajectory } from "../workflow/trajectory.ts";
import { scoreChecked } from "./checked.ts";
import { isFailed } from "./failures.ts";
import type { FinishedEpisode, RewardContext, RewardTerm, ScoredEpisode } from "./reward.ts";

/** Episodes of one task. */
export interface EpisodeGroup<Task> {
  readonly task: Task;
  readonly trajectories: readonly Trajectory[];
}

export interface ApplyOptions {
  /** Whether terms learn from these groups. Default: in training; a dry group passes false. */
  readonly learn?: boolean;
  /** Whether a complete episode must have a reward, and each of its trainable calls too. Default: in training. */
  readonly needsReward?: boolean;
  /** Groups that are scored at once. Default 64. */
  readonly concurrency?: number;
}

/**
 * Scores the complete episodes of each group and returns the groups with the rewards added. An episode that cannot be
 * scored has status "failed" and a failure at the boundary "reward" afterwards; one that the signal stopped is
 * "cancelled". Other episodes, and other fields of a group, stay as they are.
 *
 * @example
 * const groups = await applyRewards(sum({ f1, brevity: [0.2, brevity] }), sampled, { step, seed, stage: "train", policies });
 */
export async function applyRewards<Task, Group extends EpisodeGroup<Task>>(
  term: RewardTerm<Task>,
  groups: readonly Group[],
  context: RewardContext,
  options: ApplyOptions = {},
): Promise<Group[]> {
  const training = context.stage === "train";
  const { learn = training, needsReward = training, concurrency = 64 } = options;
  const { signal } = context;
  const all = await mapConcurrently(groups, concurrency, async ({ task, trajectories }) => {
    const complete = trajectories.filter(({ status }) => status === "complete");
    if (complete.length === 0) return [];
    const episodes = complete.map(
      (trajectory): FinishedEpisode<Task> => ({ task, result: trajectory.result, trajectory }),
    );
    return untilAborted(signal, scoreChecked(term, episodes, context));
  });
  // What was stopped says nothing about the term.
  if (learn && signal?.aborted !== true) term.learn?.(all.flat(), context);
  return groups.map((group, g) => {
    let next = 0;
    const trajectories = group.trajectories.map((trajectory) => {
      if (trajectory.status !== "complete") return trajectory;
      const scored = all[g]![next++];
      if (signal?.aborted === true && (scored === undefined || isFailed(scored)))
        return { ...trajectory, status: "cancelled" as const };
      return rewarded(trajectory, scored!, needsReward ? context : undefined);
    });
    return { ...group, trajectories };
  });
}

/** The trajectory with its new rewards, or failed. `context`: its rewards must be complete. */
function rewarded(
  trajectory: Trajectory,
  scored: ScoredEpisode,
  context: RewardContext | undefined,
): Trajectory {
  if (isFailed(scored)) return failed(trajectory, scored.failure);
  const { rewards, ownRewards = rewards.length } = trajectory;
  const whole: Trajectory = { ...trajectory, rewards: [...rewards, ...scored.rewards], ownRewards };
  if (context === undefined) return whole;
  if (!whole.rewards.some(({ logged }) => logged !== true)) {
    return failed(trajectory, {
      boundary: "reward",
      code: "E_REWARD_MISSING",
      message: `Episode ${trajectory.id} (task ${trajectory.identity.task} of workflow "${trajectory.workflow}") has no reward: neither the workflow nor the rewards of the run gave one.`,
      hint: "add a term that says something of every episode; a missing reward is not taken for a zero.",
    });
  }
  try {
    for (const call of whole.calls) {
      const policy = context.policies?.get(call.policy);
      if (call.status !== "complete" || call.origin !== "sampled") continue;
      if (policy !== undefined && isTrainable(policy)) callReward(whole, call);
    }
  } catch (error) {
    return failed(trajectory, failureOf(error, { workflow: trajectory.workflow, episode: trajectory.id }));
  }
  return whole;
}

const failed = (trajectory: Trajectory, failure: EpisodeFailure): Trajectory => ({
  ...trajectory,
  status: "failed",
  failure,
});

/** The answer, or nothing if the signal is first: a term that hangs must not hold up the end of a run. */
function untilAborted(
  signal: AbortSignal | undefined,
  answer: Promise<readonly ScoredEpisode[]>,
): Promise<readonly ScoredEpisode[]> {
  if (signal === undefined) return answer;
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve([]);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
