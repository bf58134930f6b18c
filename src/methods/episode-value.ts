/** @file What an episode is worth as a whole: one number for methods that compare episodes, and not their calls. */

import type { RewardedEpisode } from "./method.ts";

export type EpisodeValue = (episode: RewardedEpisode) => number;

/** The mean of what its calls were rewarded with; the trajectory-level reward of an episode without calls. */
export function episodeValue({ calls, reward }: RewardedEpisode): number {
  return calls.length === 0 ? reward : calls.reduce((sum, call) => sum + call.reward, 0) / calls.length;
}
