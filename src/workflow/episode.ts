/**
 * @file One episode: runs a workflow on a task, records every effect, and turns whatever goes wrong into a typed
 * failure. `runEpisode` never rejects for something that happened inside the episode.
 */

import { setMaxListeners } from "node:events";
import type { Policy } from "../engine/policy.ts";
import { isTrainable } from "../engine/policy-spec.ts";
import { type Key, key, Stream } from "../random/stream.ts";
import type { Stage } from "./agent.ts";
import { CallJournal } from "./call-journal.ts";
import { episodeEnded, underDeadline } from "./deadline.ts";
import {
  DeadlineError,
  EpisodeCancelledError,
  type EpisodeError,
  type EpisodeFailure,
  failureOf,
  RewardError,
} from "./errors.ts";
import { PromptCache } from "./prompt-cache.ts";
import { ToolJournal } from "./tool-journal.ts";
import {
  callReward,
  type EpisodeIdentity,
  episodeId,
  type RewardRecord,
  type Trajectory,
} from "./trajectory.ts";
import type { AgentMap, RewardOptions, ToolMap, Workflow, WorkflowContext } from "./workflow.ts";

/** Seconds; Infinity switches one off. */
export interface Deadlines {
  /** One model call, waiting included. Default 300. */
  readonly call?: number;
  /** One tool call. Default 60. */
  readonly tool?: number;
  /** The whole episode. Default 900. */
  readonly episode?: number;
}

export interface EpisodeOptions<Task> {
  readonly workflow: Workflow<Task>;
  readonly task: Task;
  readonly policies: ReadonlyMap<string, Policy>;
  /** φ: agent name → policy name. */
  readonly assignment: ReadonlyMap<string, string>;
  readonly stage: Stage;
  readonly identity: EpisodeIdentity;
  /** The run's seed. */
  readonly seed: number;
  readonly deadlines?: Deadlines;
  readonly signal?: AbortSignal;
  readonly prompts?: PromptCache;
  /** A complete episode without any reward fails. Default: true in training. */
  readonly needsReward?: boolean;
}

/** The clock of one episode, in seconds since it began. */
export type EpisodeClock = () => number;

/** What both journals share. */
export interface EpisodeScope {
  readonly id: string;
  readonly workflow: string;
  readonly clock: EpisodeClock;
  readonly deadlines: Required<Deadlines>;
  readonly signal: AbortSignal;
  /** Names the episode's random streams. */
  readonly key: Key;
}

/**
 * Runs one episode.
 *
 * @example
 * const trajectory = await runEpisode({ workflow: atlas, task, policies, assignment, stage: "evaluate", identity, seed: 0 });
 * if (trajectory.status === "failed") console.error(trajectory.failure);
 */
export async function runEpisode<Task>(options: EpisodeOptions<Task>): Promise<Trajectory> {
  const { workflow, identity, stage, seed } = options;
  const began = performance.now();
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const scope: EpisodeScope = {
    id: episodeId(identity),
    workflow: workflow.name,
    clock: () => (performance.now() - began) / 1000,
    deadlines: { call: 300, tool: 60, episode: 900, ...options.deadlines },
    signal: controller.signal,
    key: key(seed, identity.purpose, identity.step, identity.group, identity.task, identity.sample),
  };
  const place = { workflow: workflow.name, episode: scope.id };
  const calls = new CallJournal(
    scope,
    options.policies,
    options.assignment,
    stage,
    options.prompts ?? new PromptCache(),
  );
  const tools = new ToolJournal(scope);
  const rewards = new RewardLedger(scope, workflow.agents, calls);

  const context: WorkflowContext<Task, AgentMap, ToolMap> = {
    task: options.task,
    agents: calls.bind(workflow.agents),
    tools: tools.bind(workflow.tools),
    reward: (value, about) => rewards.give(value, about),
    signal: controller.signal,
    stage,
    random: new Stream(key(scope.key[0], scope.key[1], "random")),
  };

  const finish = (ending: Pick<Trajectory, "status" | "failure" | "result">): Trajectory => ({
    id: scope.id,
    workflow: workflow.name,
    stage,
    identity,
    task: options.task,
    ...ending,
    calls: calls.close(),
    tools: tools.close(),
    rewards: rewards.terms,
    seconds: scope.clock(),
  });

  // The outer signal and the episode's deadline reach every effect through the episode's own controller.
  const stopped = new AbortController();
  const onStop = () => stopped.abort(cancelled(scope));
  if (options.signal?.aborted) onStop();
  options.signal?.addEventListener("abort", onStop, { once: true });
  try {
    const result = await underDeadline(
      { seconds: scope.deadlines.episode, parent: stopped.signal, onLate: () => late(scope, calls, tools) },
      (signal) => {
        signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
        return workflow.run(context);
      },
    );
    controller.abort(episodeEnded);
    if (rewards.failure !== undefined) throw rewards.failure;
    const trajectory = finish({ status: "complete", result });
    if (options.needsReward ?? stage === "train") checkRewards(scope, trajectory, options.policies);
    return trajectory;
  } catch (error) {
    if (!controller.signal.aborted) controller.abort(error);
    if (error instanceof EpisodeCancelledError) return finish({ status: "cancelled" });
    const failure: EpisodeFailure = failureOf(rewards.failure ?? error, place);
    return finish({ status: "failed", failure });
  } finally {
    options.signal?.removeEventListener("abort", onStop);
  }
}

function cancelled({ id }: EpisodeScope): EpisodeCancelledError {
  return new EpisodeCancelledError({
    boundary: "workflow",
    code: "E_EPISODE_CANCELLED",
    message: `Episode ${id} was stopped from outside.`,
  });
}

function late(
  { id, workflow, deadlines }: EpisodeScope,
  calls: CallJournal,
  tools: ToolJournal,
): DeadlineError {
  const waiting = [...calls.open(), ...tools.open()];
  return new DeadlineError({
    boundary: "workflow",
    code: "E_EPISODE_DEADLINE",
    message: `Episode ${id} of workflow "${workflow}" was not finished after ${deadlines.episode} s; it was waiting for ${
      waiting.length === 0 ? "none of its effects, so the time went in its own code" : waiting.join(", ")
    }.`,
    hint: "raise `deadlines.episode`, or look for a loop that does not end.",
    facts: { episode: id, seconds: deadlines.episode, waiting },
  });
}

/** A complete episode has a reward, and each of its trainable calls is covered by one. */
function checkRewards(
  { id, workflow }: EpisodeScope,
  trajectory: Trajectory,
  policies: ReadonlyMap<string, Policy>,
): void {
  if (trajectory.rewards.length > 0) {
    for (const call of trajectory.calls) {
      const policy = policies.get(call.policy);
      if (call.status === "complete" && policy !== undefined && isTrainable(policy))
        callReward(trajectory, call);
    }
    return;
  }
  throw new RewardError({
    boundary: "reward",
    code: "E_REWARD_MISSING",
    message: `Workflow "${workflow}" ended episode ${id} without calling reward().`,
    hint: "call reward(value) before every return, also on early stops; a missing reward is not taken for a zero.",
    facts: { episode: id },
  });
}

/** The reward terms of one episode. A bad term fails the episode even if the workflow catches the error. */
class RewardLedger {
  readonly terms: RewardRecord[] = [];
  failure: EpisodeError | undefined;
  readonly #scope: EpisodeScope;
  readonly #agents: ReadonlySet<string>;
  readonly #calls: CallJournal;

  constructor(scope: EpisodeScope, agents: AgentMap, calls: CallJournal) {
    this.#scope = scope;
    this.#agents = new Set(Object.values(agents).map(({ name }) => name));
    this.#calls = calls;
  }

  give(value: number, { name = "reward", agent, call }: RewardOptions = {}): void {
    const term = `reward "${name}" of episode ${this.#scope.id} in workflow "${this.#scope.workflow}"`;
    if (this.#scope.signal.aborted) return;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw this.#refuse(
        "E_REWARD_NOT_FINITE",
        `The ${term} is ${typeof value === "number" ? value : `a ${typeof value}`}, not a finite number.`,
        "check the scoring function for divisions by zero and for missing answers; await it if it is async.",
      );
    }
    if (agent !== undefined && !this.#agents.has(agent)) {
      throw this.#refuse(
        "E_REWARD_PLACE",
        `The ${term} is for agent "${agent}", but the workflow's agents are ${[...this.#agents].join(", ")}.`,
        "use the name that was given to agent(…).",
      );
    }
    if (call !== undefined && !this.#calls.has(call)) {
      throw this.#refuse(
        "E_REWARD_PLACE",
        `The ${term} is for call ${call}, which this episode has not made.`,
        "pass `reply.call` of a reply of the same episode.",
      );
    }
    this.terms.push({
      name,
      value,
      ...(agent === undefined ? {} : { agent }),
      ...(call === undefined ? {} : { call }),
    });
  }

  #refuse(code: string, message: string, hint: string): EpisodeError {
    const error = new RewardError({ boundary: "reward", code, message, hint });
    this.failure ??= error;
    return error;
  }
}
