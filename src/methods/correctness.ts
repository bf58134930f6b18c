/** @file When an episode counts as a success, for methods that know right and wrong only. */

import type { RewardedEpisode } from "./method.ts";

export type IsCorrect = (episode: RewardedEpisode) => boolean;

/** Its trajectory-level reward is at least 1 (CHOSEN: the papers' rewards are 0 and 1). */
export const rewardOfOne: IsCorrect = ({ reward }) => reward >= 1;

/** For the run's record. */
export const saidOf = (isCorrect: IsCorrect): string =>
  isCorrect === rewardOfOne ? "reward of at least 1" : "a function of the caller";
