/** @file When and where things are sampled, and how often they are trained on. */

export type { Arm, StoredArm } from "./arms.ts";
export { type BanditMethodSettings, withRolloutBandits } from "./bandit-method.ts";
export type { RolloutBanditSettings } from "./bandit-settings.ts";
export {
  type EpisodeRequest,
  type InfiniteSampling,
  type InfiniteSamplingSettings,
  infiniteSampling,
  infiniteSamplingCard,
  type PlannedSchedule,
} from "./infinite-sampling.ts";
export { type LengthPredictor, type RunningQuantileSettings, runningQuantile } from "./length-predictor.ts";
export { type MakespanPlan, type MakespanSettings, planMakespan } from "./makespan-plan.ts";
export { type Manger, type MangerSettings, manger, mangerCard, type ReusedCall } from "./manger.ts";
export {
  type DistillationSettings,
  type RandomDistillation,
  randomDistillation,
} from "./random-distillation.ts";
export { extraPasses, type ReuseCountSettings, reuseCounts } from "./reuse-counts.ts";
export {
  type RolloutBandits,
  rolloutBandits,
  rolloutBanditsCard,
  type Selection,
} from "./rollout-bandits.ts";
export { type EpisodeSchedule, runInSchedule } from "./run-schedule.ts";
export {
  type OrderRule,
  orderByLength,
  type SlotMode,
  type SlotTimes,
  simulateSlots,
} from "./slot-schedule.ts";
export { textEmbedding } from "./text-embedding.ts";
