/** @file Public surface of `troupe/methods`. */

export type { Aggregation } from "./aggregation.ts";
export { LossError, MethodSettingsError } from "./errors.ts";
export { type GroupNormalisation, groupCredit, normalise, type Spread, spreadOf } from "./group-advantage.ts";
export { type GrpoSettings, grpo } from "./grpo.ts";
export type {
  BatchTotals,
  GroupCredit,
  LossInput,
  LossOutput,
  LossStatistics,
  Method,
  RewardedCall,
  RewardedEpisode,
} from "./method.ts";
