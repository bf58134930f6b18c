/** @file Which episodes keep all constraints, as rewards mark them: `infeasible` of `troupe/rewards`. CGPO (arXiv 2409.20370). */

import type { RewardedEpisode } from "./method.ts";

/** True where the reward term "infeasible" is absent or 0. */
export const feasibleByTerm = ({ terms }: RewardedEpisode): boolean => (terms?.infeasible ?? 0) === 0;
