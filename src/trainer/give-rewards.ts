/** @file The run's own reward terms, over groups of episodes that have ended. Without any, groups stay as they are. */

import { applyRewards, type EpisodeGroup } from "../rewards/apply.ts";
import type { RewardContext } from "../rewards/reward.ts";
import type { EpisodeRunner } from "./groups.ts";

export interface GiveRewardsOptions extends Pick<RewardContext, "step" | "stage" | "evaluation"> {
  /** Whether terms that adapt themselves learn from these groups: in steps, not in a dry group or an evaluation. */
  readonly learn: boolean;
}

/** The groups with rewards added; an episode that a term could not score has failed at the boundary "reward". */
export async function giveRewards<Task, Group extends EpisodeGroup<Task>>(
  groups: readonly Group[],
  { settings, policies, shared, signal }: EpisodeRunner<Task>,
  { learn, ...about }: GiveRewardsOptions,
): Promise<readonly Group[]> {
  const { rewards, seed, deadlines } = settings;
  if (rewards === undefined) return groups;
  return applyRewards(
    rewards,
    groups,
    {
      ...about,
      seed,
      policies,
      signal,
      deadline: deadlines.call,
      ...(shared.gates === undefined ? {} : { gates: shared.gates }),
      ...(shared.clock === undefined ? {} : { clock: shared.clock }),
    },
    { learn },
  );
}
