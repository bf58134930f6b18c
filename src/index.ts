/** @file Public surface of `troupe`. Flat and explicit; a test snapshots it. */

export { jsonl } from "./data/jsonl.ts";
export type { LoadableTasks, TaskSource } from "./data/task-source.ts";
export type {
  ChatMessage,
  Policy,
  PolicyTokenizer,
  SampleRequest,
  SampleResult,
  SamplingSettings,
  StopReason,
  TrainablePolicy,
} from "./engine/policy.ts";
export { isTrainable, type PolicyOpenContext, type PolicySpec } from "./engine/policy-spec.ts";
export { TroupeError } from "./errors.ts";
export { type GrpoSettings, grpo, type Method } from "./methods/index.ts";
export { type Key, key, Stream, stream } from "./random/stream.ts";
export { exactMatch, tokenF1 } from "./rewards/index.ts";
export {
  type ScriptedPolicyOptions,
  scriptedPolicy,
  type TabularPolicyOptions,
  tabularPolicy,
} from "./testing/index.ts";
export {
  type CheckpointEvaluation,
  consoleReporter,
  type Decoding,
  type DryRun,
  type DryRunControl,
  describeEpisode,
  dryRun,
  type EvaluateControl,
  type EvaluatedEpisode,
  type EvaluationOptions,
  type EvaluationSummary,
  evaluatePolicies,
  jsonReporter,
  type LearningRate,
  type LearningRateSchedule,
  type Metric,
  type Reporter,
  RunFolderError,
  RunStoppedError,
  type RunSummary,
  silentReporter,
  type TrainConfig,
  TrainConfigError,
  type TrainControl,
  type TrainOptions,
  train,
  trainConfig,
} from "./trainer/index.ts";
export {
  type Agent,
  type AgentOptions,
  AgentReply,
  agent,
  type Boundary,
  type CallRecord,
  DeadlineError,
  type Deadlines,
  EpisodeError,
  type EpisodeFailure,
  type EpisodeOptions,
  type GiveReward,
  ModelCallError,
  ParseError,
  type ParseOutcome,
  PromptError,
  RewardError,
  type RewardOptions,
  runEpisode,
  type Stage,
  type TaskSchema,
  type Tool,
  type ToolContext,
  ToolError,
  type ToolFunction,
  type Trajectory,
  taskOf,
  tool,
  trajectoryReward,
  type Workflow,
  type WorkflowContext,
  WorkflowDefinitionError,
  workflow,
} from "./workflow/index.ts";
