/** @file Public surface of `troupe/methods`. */

export type { Aggregation } from "./aggregation.ts";
export { LossError, MethodSettingsError } from "./errors.ts";
export { type GaeSettings, gae } from "./gae.ts";
export { type GroupNormalisation, groupCredit, normalise, type Spread, spreadOf } from "./group-advantage.ts";
export { type GrpoSettings, grpo } from "./grpo.ts";
export { type KlEstimator, type KlPlace, type KlSettings, klGradient, klValue } from "./kl.ts";
export type {
  BatchCall,
  BatchEstimates,
  BatchTotals,
  GroupCredit,
  LossInput,
  LossOutput,
  LossStatistics,
  Method,
  RewardedCall,
  RewardedEpisode,
} from "./method.ts";
export { type PpoSettings, ppo } from "./ppo.ts";
export { type BatchScope, type WhitenSettings, whiten } from "./whiten.ts";
