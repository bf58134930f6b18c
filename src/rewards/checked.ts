/** @file Scores with any term, also a user's own: whatever it throws or leaves out becomes a typed failure. */

import type { RewardRecord, Trajectory } from "../workflow/trajectory.ts";
import { faultOf, isFailed, rewardFailure, threw } from "./failures.ts";
import type { FinishedEpisode, RewardContext, RewardTerm, ScoredEpisode } from "./reward.ts";

/** Never rejects; one entry for each episode; every value is a finite number and has a place in its episode. */
export async function scoreChecked<Task>(
  term: RewardTerm<Task>,
  group: readonly FinishedEpisode<Task>[],
  context: RewardContext,
): Promise<readonly ScoredEpisode[]> {
  let scored: readonly ScoredEpisode[];
  try {
    scored = await term.score(group, context);
  } catch (error) {
    return group.map(({ trajectory }) => ({ failure: threw(term.name, trajectory, error) }));
  }
  return group.map(({ trajectory }, i): ScoredEpisode => {
    // A user's term need not be TypeScript.
    const one = scored?.length === group.length ? scored[i] : undefined;
    if (one === undefined) {
      const failure = rewardFailure(term.name, trajectory, {
        code: "E_REWARD_MISSING",
        says: `is missing: the term was given ${group.length} episodes and did not answer with one entry for each.`,
        hint: "answer with { rewards } or { failure } for every episode, in order.",
      });
      return { failure };
    }
    if (isFailed(one)) return one;
    const failure = one.rewards.map((record) => recordFault(record, trajectory)).find((fault) => fault);
    return failure === undefined ? one : { failure };
  });
}

function recordFault({ name, value, agent, call }: RewardRecord, trajectory: Trajectory) {
  const fault = faultOf(name, trajectory, value, call === undefined ? "" : ` for call ${call}`);
  if (fault !== undefined) return fault;
  if (agent !== undefined && call !== undefined) {
    return rewardFailure(name, trajectory, {
      code: "E_REWARD_PLACE",
      says: `is given to agent "${agent}" and to call ${call} at once.`,
      hint: "give one of the two.",
    });
  }
  if (call === undefined || trajectory.calls.some(({ id }) => id === call)) return undefined;
  return rewardFailure(name, trajectory, {
    code: "E_REWARD_PLACE",
    says: `is for call ${call}, which this episode has not made.`,
    hint: "use `id` of a call of `trajectory.calls`.",
  });
}
