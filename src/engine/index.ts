/** @file The seam to write another engine against: what a policy is, and how a run names one. */

export { type Key, key } from "../random/stream.ts";
export type {
  AnyPolicy,
  ChatMessage,
  ChatTool,
  ChatToolCall,
  ForwardOptions,
  ForwardResult,
  ParsedToolCalls,
  Policy,
  PolicyTokenizer,
  SampledToken,
  SampleRequest,
  SampleResult,
  SamplingSettings,
  ScoringPolicy,
  StepOptions,
  StepResult,
  StopReason,
  TextPolicy,
  TextRequest,
  TextResult,
  TokenConstraint,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "./policy.ts";
export {
  canScore,
  isTextPolicy,
  isTrainable,
  type PolicyOpenContext,
  type PolicySpec,
} from "./policy-spec.ts";
