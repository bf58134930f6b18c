/** @file The seam to write another engine against: what a policy is, and how a run names one. */

export { type Key, key } from "../random/stream.ts";
export type {
  ChatMessage,
  ForwardOptions,
  ForwardResult,
  Policy,
  PolicyTokenizer,
  SampledToken,
  SampleRequest,
  SampleResult,
  SamplingSettings,
  StepOptions,
  StepResult,
  StopReason,
  TokenConstraint,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "./policy.ts";
export { isTrainable, type PolicyOpenContext, type PolicySpec } from "./policy-spec.ts";
