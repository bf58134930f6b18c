/** @file Public surface of the workflow runtime. */

export { type Agent, type AgentOptions, AgentReply, agent, type ParseOutcome, type Stage } from "./agent.ts";
export { type Deadlines, type EpisodeOptions, runEpisode } from "./episode.ts";
export {
  type Boundary,
  DeadlineError,
  EpisodeError,
  type EpisodeFailure,
  ModelCallError,
  ParseError,
  PromptError,
  RewardError,
  ToolError,
  WorkflowDefinitionError,
} from "./errors.ts";
export { type TaskSchema, taskOf } from "./task-schema.ts";
export { type Tool, type ToolContext, type ToolFunction, tool } from "./tool.ts";
export {
  type CallRecord,
  callReward,
  type EffectStatus,
  type EpisodeIdentity,
  type RewardRecord,
  type ToolRecord,
  type Trajectory,
  trajectoryReward,
} from "./trajectory.ts";
export {
  type GiveReward,
  type RewardOptions,
  type Workflow,
  type WorkflowContext,
  workflow,
} from "./workflow.ts";
