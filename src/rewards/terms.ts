/** @file Terms made of a user's function: one number an episode, an agent, a call, or all episodes of a group at once. */

import type { CallRecord, RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { faultOf, rewardFailure, threw, underDeadline } from "./failures.ts";
import {
  type FinishedEpisode,
  type RewardContext,
  RewardDefinitionError,
  type RewardFunction,
  type RewardTerm,
  type ScoredEpisode,
} from "./reward.ts";

/**
 * A reward for the whole trajectory.
 *
 * @example
 * const f1 = reward("f1", ({ result, task }) => tokenF1(String(result), task.answer));
 */
export function reward<Task = UntypedTask>(
  name: string,
  score: RewardFunction<NoInfer<Task>>,
): RewardTerm<Task> {
  return episodeTerm(name, score, {});
}

/** A reward for all calls of one agent, from one number an episode. */
export function agentReward<Task = UntypedTask>(
  name: string,
  agent: string,
  score: RewardFunction<NoInfer<Task>>,
): RewardTerm<Task> {
  return { ...episodeTerm(name, score, { agent }), needs: { agents: [agent] } };
}

/**
 * A reward for single calls: the function sees each complete call of the episode, in the order in which they were issued,
 * and returns undefined for those that it has nothing to say of.
 */
export function callRewards<Task = UntypedTask>(
  name: string,
  score: (
    call: CallRecord,
    episode: FinishedEpisode<NoInfer<Task>>,
    context: RewardContext,
  ) => number | undefined | Promise<number | undefined>,
): RewardTerm<Task> {
  return perEpisode(name, async (episode, context) => {
    const { trajectory } = episode;
    const rewards: RewardRecord[] = [];
    for (const call of trajectory.calls) {
      if (call.status !== "complete") continue;
      const value = await underDeadline(context, () => score(call, episode, context));
      if (value === undefined) continue;
      const fault = faultOf(name, trajectory, value, ` for call ${call.id} (agent "${call.agent}")`);
      if (fault !== undefined) return { failure: fault };
      rewards.push({ name, value, call: call.id });
    }
    return { rewards };
  });
}

/**
 * A reward for whole trajectories that needs to see all complete episodes of the group: one number each, in order. If the
 * function throws, or answers with another count, every episode of the group fails.
 */
export function groupReward<Task = UntypedTask>(
  name: string,
  score: (
    episodes: readonly FinishedEpisode<NoInfer<Task>>[],
    context: RewardContext,
  ) => readonly number[] | Promise<readonly number[]>,
): RewardTerm<Task> {
  checkName(name);
  return {
    name,
    async score(group, context) {
      let values: readonly number[];
      try {
        values = await underDeadline(context, () => score(group, context));
      } catch (error) {
        return group.map(({ trajectory }) => ({ failure: threw(name, trajectory, error) }));
      }
      return scoredValues(name, group, values);
    },
  };
}

/** One trajectory-level record an episode, or what is wrong with its value. */
export function scoredValues<Task>(
  name: string,
  group: readonly FinishedEpisode<Task>[],
  values: unknown,
): readonly ScoredEpisode[] {
  return group.map(({ trajectory }, i): ScoredEpisode => {
    if (!Array.isArray(values) || values.length !== group.length) {
      const failure = rewardFailure(name, trajectory, {
        code: "E_REWARD_MISSING",
        says: `cannot be told: the function was given ${group.length} episodes and returned ${
          Array.isArray(values) ? `${values.length} values` : `a ${typeof values}`
        }.`,
        hint: "return one number for each episode, in order.",
      });
      return { failure };
    }
    const failure = faultOf(name, trajectory, values[i]);
    return failure === undefined ? { rewards: [{ name, value: values[i] as number }] } : { failure };
  });
}

/** A term that looks at one episode at a time, all episodes at once. Whatever it throws fails that episode alone. */
export function perEpisode<Task>(
  name: string,
  score: (episode: FinishedEpisode<Task>, context: RewardContext) => Promise<ScoredEpisode>,
): RewardTerm<Task> {
  checkName(name);
  return {
    name,
    score: (group, context) =>
      Promise.all(
        group.map(async (episode) => {
          try {
            return await score(episode, context);
          } catch (error) {
            return { failure: threw(name, episode.trajectory, error) };
          }
        }),
      ),
  };
}

function episodeTerm<Task>(
  name: string,
  score: RewardFunction<Task>,
  place: Pick<RewardRecord, "agent">,
): RewardTerm<Task> {
  return perEpisode(name, async (episode, context) => {
    const value = await underDeadline(context, () => score(episode, context));
    const failure = faultOf(name, episode.trajectory, value);
    return failure === undefined ? { rewards: [{ name, value, ...place }] } : { failure };
  });
}

/** @throws RewardDefinitionError */
export function checkName(name: string): void {
  if (typeof name === "string" && /^[^\s"\\]{1,100}$/u.test(name)) return;
  throw new RewardDefinitionError({
    code: "E_REWARD_NAME",
    message: `A reward was given the name ${JSON.stringify(name)}; names have 1 to 100 characters, without spaces, quotes and backslashes.`,
    hint: 'use a short word such as "f1".',
  });
}
