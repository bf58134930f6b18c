/** @file Public surface of the trainer. */

export {
  type ApartControl,
  ApartError,
  type ApartOptions,
  collectApart,
  type TrainedApart,
  trainApart,
} from "./apart/index.ts";
export { bootstrapIntervals, type Interval } from "./bootstrap.ts";
export type { KeepCheckpoints } from "./checkpoint.ts";
export {
  type EvaluatedEpisode,
  isTrainConfig,
  type Metric,
  type TrainConfig,
  type TrainOptions,
  trainConfig,
} from "./config.ts";
export { type DryRun, type DryRunControl, dryRun } from "./dry-run.ts";
export { RunFolderError, RunStoppedError, TrainConfigError } from "./errors.ts";
export { type CheckpointEvaluation, type EvaluateControl, evaluatePolicies } from "./evaluate-run.ts";
export type { Decoding, EvaluationOptions } from "./evaluation-options.ts";
export {
  type Demonstration,
  demonstrationsOf,
  type FineTuned,
  type FineTuneOptions,
  fineTune,
} from "./fine-tune.ts";
export type { LearningRate, LearningRateSchedule } from "./learning-rate.ts";
export { type OpenPoliciesControl, openPoliciesOf, type TrainedPolicies } from "./open-trained.ts";
export { consoleReporter, jsonReporter, type Reporter, type StepView, silentReporter } from "./reporter.ts";
export type { EvaluationSummary, RunSummary } from "./summary.ts";
export { type TrainControl, train } from "./train.ts";
export { describeEpisode } from "./transcript.ts";
export type { TreePlan, TreeSampling } from "./tree-sampling.ts";
