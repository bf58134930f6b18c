/** @file Public surface of the workflow runtime. */

export {
  type Agent,
  type AgentOptions,
  AgentReply,
  agent,
  type CallOptions,
  type ParseOutcome,
  type Stage,
} from "./agent.ts";
export { type Clock, systemClock, type Timer } from "./clock.ts";
export { type Effect, effectsOf } from "./effect.ts";
export { type EpisodeOptions, type EpisodeSettings, runEpisode } from "./episode.ts";
export {
  type Boundary,
  DeadlineError,
  EpisodeError,
  type EpisodeFailure,
  LimitError,
  ModelCallError,
  ParseError,
  PromptError,
  ReplayDivergenceError,
  RewardError,
  ToolError,
  WorkflowDefinitionError,
} from "./errors.ts";
export { type ForkOptions, forkEpisode } from "./fork.ts";
export { type ConcurrencyLimits, Gate, Gates } from "./gate.ts";
export { type DataEdge, dataEdges, type EffectReference } from "./graph.ts";
export { type EpisodeMemory, MapStore, type MemoryStore } from "./memory.ts";
export { type ReplayOptions, replayEpisode } from "./replay.ts";
export type { Deadlines, EpisodeLimits, Meter } from "./runtime.ts";
export { type Segment, segmentsOf } from "./segment.ts";
export { type TaskSchema, taskOf } from "./task-schema.ts";
export { type Tool, type ToolContext, type ToolFunction, tool } from "./tool.ts";
export {
  type CallOrigin,
  type CallRecord,
  type ChildRecord,
  callReward,
  type DrawRecord,
  type EffectStatus,
  type EpisodeIdentity,
  type ForkPoint,
  type MemoryRecord,
  meanReward,
  type Prompt,
  type RewardRecord,
  type ToolRecord,
  type Trajectory,
  trajectoryReward,
} from "./trajectory.ts";
export { EpisodeLineError, episodeSchema, readTrajectory, trajectoryLine } from "./trajectory-json.ts";
export { Watchdog, type WatchdogOptions } from "./watchdog.ts";
export {
  type AnyWorkflow,
  agentsOf,
  type GiveReward,
  type RewardOptions,
  type Workflow,
  type WorkflowContext,
  workflow,
} from "./workflow.ts";
