/**
 * @file Public surface of `troupe/testing`: policies for tests of workflows and training loops, without network or weights
 * on disk, and checks for methods of one's own.
 */

export {
  type CheckOptions,
  checkGradients,
  checkMethod,
  checkMicrobatches,
  checkOrder,
  checkState,
  type GradientCheckOptions,
} from "./check-method.ts";
export { MethodCheckError } from "./check-method-error.ts";
export { checkSampler, type SamplerCheckOptions } from "./check-sampler.ts";
export {
  creditsOf,
  microbatchOf,
  type RandomBatch,
  type RandomBatchOptions,
  type RandomEpisode,
  randomBatch,
  randomEpisode,
  randomGroups,
  randomTeamEpisode,
} from "./random-batch.ts";
export { type ScriptedPolicyOptions, scriptedPolicy } from "./scripted-policy.ts";
export { TabularPolicy, type TabularPolicyOptions, tabularPolicy } from "./tabular-policy.ts";
export { VirtualClock } from "./virtual-clock.ts";
