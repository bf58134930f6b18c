/** @file What a run is configured with: the options a user writes, their defaults, and their check before step 1. */

import { z } from "zod";
import type { TaskSource } from "../data/task-source.ts";
import type { PolicySpec } from "../engine/policy-spec.ts";
import type { Method } from "../methods/method.ts";
import type { InfiniteSampling } from "../methods/schedule/index.ts";
import type { RewardTerm } from "../rewards/reward.ts";
import type { ConcurrencyLimits } from "../workflow/gate.ts";
import type { MemoryStore } from "../workflow/memory.ts";
import type { Deadlines, EpisodeLimits } from "../workflow/runtime.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { agentsOf, type Workflow } from "../workflow/workflow.ts";
import type { KeepCheckpoints } from "./checkpoint.ts";
import { configFaults } from "./config-faults.ts";
import { optionsSchema } from "./config-schema.ts";
import { TrainConfigError } from "./errors.ts";
import type { EvaluationOptions, EvaluationSettings } from "./evaluation-options.ts";
import type { LearningRate } from "./learning-rate.ts";
import { teamFaults, teamsOf } from "./team-options.ts";
import type { Assignment } from "./teams.ts";
import type { TreeSampling } from "./tree-sampling.ts";

/** What an evaluation metric sees of one episode. */
export interface EvaluatedEpisode<Task> {
  /** What the workflow returned. */
  readonly result: unknown;
  readonly task: Task;
  /** `meanReward`: the trajectory-level reward, or where only agents and calls are rewarded, the mean over its calls. */
  readonly reward: number;
  readonly trajectory: Trajectory;
}

/** A named number of an episode, for example F1 of the result against the task's answer. */
export type Metric<Task> = (episode: EvaluatedEpisode<Task>) => number;

export interface TrainOptions<Task> {
  readonly workflow: Workflow<Task>;
  readonly tasks: TaskSource<NoInfer<Task>>;
  /** Held-out tasks, evaluated before and after. Never trained on. */
  readonly evaluate?: TaskSource<NoInfer<Task>>;
  /** Metrics of the evaluation, by name; the first is shown while training. Default: the reward. */
  readonly metrics?: Readonly<Record<string, Metric<NoInfer<Task>>>>;
  /** How evaluations are run: episodes a task, decoding, pass@k. Default: one episode, as each agent decodes. */
  readonly evaluation?: EvaluationOptions<NoInfer<Task>>;
  /**
   * Fields of a task that it is graded with, for example ["answer", "tests"]. An evaluation in which a prompt contains
   * one of them ends with an error. Default: none are known.
   */
  readonly gradingFields?: readonly string[];
  readonly policies: Readonly<Record<string, PolicySpec>>;
  /** φ: agent → policy. May be left out if there is one policy. */
  readonly assign?: Readonly<Record<string, string>>;
  /**
   * φ of several teams of the same agents, by name, instead of `assign`: every task gets `groupSize` episodes of each
   * team, all in one group; each team is evaluated by itself. With `search` they are its participants.
   */
  readonly teams?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** The episodes of a task grow as a search tree. Default: they are independent of each other. */
  readonly search?: TreeSampling<NoInfer<Task>>;
  /**
   * Calls that a policy must have before it is updated, on the largest multiple of them; the others wait. For samplers that
   * give policies unequal shares. Default 0: every step on all there is.
   */
  readonly buffer?: number | Readonly<Record<string, number>>;
  /** Given after the episodes of a group have ended, on top of what the workflow gives itself. */
  readonly rewards?: RewardTerm<NoInfer<Task>>;
  /**
   * The task in which an earlier episode is shown to the team, with an instruction to reflect on it: for methods that ask for
   * it (R³). A pure function; the workflow's prompts decide what of it is seen.
   */
  readonly reflect?: (task: NoInfer<Task>, episode: Trajectory) => NoInfer<Task>;
  readonly method: Method;
  /** Optimiser update rounds. */
  readonly steps: number;
  /**
   * Ends the run with the step in which the tokens sampled for training reach this number; branches and dropped groups
   * count, prompts do not. Default Infinity: `steps` alone decide.
   */
  readonly tokenBudget?: number;
  /** Groups a step. Default 8. */
  readonly tasksPerStep?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Folder name of the run under `runsFolder`. Default: the workflow's name. */
  readonly run?: string;
  /** Default "runs". */
  readonly runsFolder?: string;
  /** A constant or a schedule. Default 1e-5. */
  readonly learningRate?: LearningRate;
  /** AdamW. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Decoupled. Default 0. */
  readonly weightDecay?: number;
  /** Global norm. Default 1; Infinity switches clipping off. */
  readonly maxGradientNorm?: number;
  /** Optimiser settings of single policies, by name; what is left out is the run's. */
  readonly optimizers?: Readonly<Record<string, OptimizerSettings>>;
  /**
   * Updates that a sampled call may lag behind the weights it trains. 0, the default: strictly on-policy. More lets
   * sampling go on during updates; older samples are weighed with truncated importance weights.
   */
  readonly staleness?: number;
  /** Training tokens (shared prefixes counted in each sequence) a forward pass. Default 32,768. */
  readonly tokensPerMicrobatch?: number;
  /** Steps between small evaluations for the progress line; 0 = none. Default 10. */
  readonly evaluateEvery?: number;
  /** Tasks of a small evaluation: a fixed draw from `evaluate`. Default 64. */
  readonly evaluateSample?: number;
  /**
   * Steps between checkpoints; 0 = only at the end. Default 10: a killed run repeats ten updates at most, and samples
   * nothing again that its journal has.
   */
  readonly checkpointEvery?: number;
  /** Which checkpoints stay. Default: the newest 2. */
  readonly keepCheckpoints?: KeepCheckpoints;
  /** A checkpoint, or a run whose newest one is meant: policies begin with its weights and optimisers, steps at 1. */
  readonly from?: string;
  /** Steps between written episode files; 0 = none. Default 1: all. */
  readonly recordEpisodesEvery?: number;
  /** Episodes in flight, and calls in flight for each policy and tool. Default: 512 episodes, no other limit. */
  readonly concurrency?: number | RunConcurrency;
  /**
   * In which order and numbers the episodes of a step are in flight, for example `infiniteSampling({ slots: 4 })`. It
   * changes when things are sampled, never what. Default: in order, `concurrency.episodes` at a time.
   */
  readonly schedule?: InfiniteSampling;
  /** Seconds a call, a tool call, an episode may take. */
  readonly deadlines?: Deadlines;
  /** Caps on one episode, instead of the workflow's own. */
  readonly limits?: EpisodeLimits;
  /** Seconds without any progress after which the run says who waits for what. Default 60. */
  readonly watchdog?: number;
  /** Memory behind `ctx.memory` that outlives an episode. Default: each episode has its own. */
  readonly memory?: MemoryStore;
  /** Share of failed episodes that stops the run. Default 0.2. */
  readonly maxFailureRate?: number;
}

/** How one policy's optimiser differs from the run's. */
export interface OptimizerSettings {
  readonly learningRate?: LearningRate;
  readonly betas?: readonly [number, number];
  readonly weightDecay?: number;
  /** Global norm; Infinity switches clipping off. */
  readonly maxGradientNorm?: number;
  /** AdamW's ε. Default 1e-8. */
  readonly epsilon?: number;
}

/** How much runs at once. */
export interface RunConcurrency extends ConcurrencyLimits {
  /** Default 512. */
  readonly episodes?: number;
}

/** Options with their defaults filled in, checked. */
export interface TrainSettings<Task>
  extends Required<
    Omit<
      TrainOptions<Task>,
      | "evaluate"
      | "evaluation"
      | "metrics"
      | "assign"
      | "teams"
      | "search"
      | "deadlines"
      | "concurrency"
      | "memory"
      | "rewards"
      | "reflect"
      | "limits"
      | "from"
      | "schedule"
    >
  > {
  readonly evaluate: TaskSource<Task> | undefined;
  readonly evaluation: EvaluationSettings<Task>;
  readonly metrics: Readonly<Record<string, Metric<Task>>>;
  /** Of one team alone; of several: the first one's. */
  readonly assignment: Assignment;
  readonly teams: ReadonlyMap<string, Assignment>;
  readonly search: TreeSampling<Task> | undefined;
  readonly deadlines: Required<Deadlines>;
  readonly limits: EpisodeLimits;
  readonly memory: MemoryStore | undefined;
  readonly rewards: RewardTerm<Task> | undefined;
  readonly reflect: ((task: Task, episode: Trajectory) => Task) | undefined;
  readonly from: string | undefined;
  readonly schedule: InfiniteSampling | undefined;
  readonly concurrency: ConcurrencyLimits & { readonly episodes: number };
}

const marker = Symbol.for("troupe.trainConfig");

/** A configuration that `troupe train` runs: what a train file exports. */
export interface TrainConfig<Task> extends TrainOptions<Task> {
  readonly [marker]: true;
}

/**
 * Says what to train, without starting it: the default export of a file for `troupe train`.
 *
 * @example
 * export default trainConfig({ workflow: atlas, tasks: jsonl("train.jsonl"), policies: { small: local("…") }, method: grpo(), steps: 60 });
 */
export function trainConfig<Task>(options: TrainOptions<Task>): TrainConfig<Task> {
  return Object.freeze({ ...options, [marker]: true as const });
}

export function isTrainConfig(value: unknown): value is TrainConfig<unknown> {
  return typeof value === "object" && value !== null && marker in value;
}

/** Checks everything that can be known before a model is opened. All faults are reported at once. */
export function checkConfig<Task>(options: TrainOptions<Task>): TrainSettings<Task> {
  const parsed = optionsSchema.safeParse({ ...options });
  if (!parsed.success) throw configError(z.prettifyError(parsed.error), parsed.error.issues.length);
  const faults = [...configFaults(options), ...teamFaults(options)];
  if (faults.length > 0) throw configError(faults.map((fault) => `✖ ${fault}`).join("\n"), faults.length);
  const [onlyPolicy] = Object.keys(options.policies);
  const teams = teamsOf(options);
  const assignment =
    [...teams.values()][0] ??
    new Map(
      [...agentsOf(options.workflow).keys()].map((name) => [name, options.assign?.[name] ?? onlyPolicy!]),
    );
  const { assign: _, ...settings } = parsed.data;
  // Functions and sources were passed through unchanged: their types are those of the options.
  return Object.freeze({
    ...settings,
    workflow: options.workflow,
    tasks: options.tasks,
    evaluate: options.evaluate,
    metrics: options.metrics ?? { reward: ({ reward }: EvaluatedEpisode<Task>) => reward },
    policies: options.policies,
    method: options.method,
    memory: options.memory,
    rewards: options.rewards,
    reflect: options.reflect,
    from: options.from,
    schedule: options.schedule,
    run: options.run ?? options.workflow.name.replace(/[^\w.-]+/g, "-"),
    assignment,
    teams,
    search: options.search,
  }) as TrainSettings<Task>;
}

function configError(list: string, faults: number): TrainConfigError {
  return new TrainConfigError({
    code: "E_CONFIG",
    message: `The training configuration has ${faults === 1 ? "a fault" : `${faults} faults`}:\n${list}`,
    hint: "correct it and start again; nothing was spent.",
  });
}
