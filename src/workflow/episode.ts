/**
 * @file One episode: runs a workflow on a task, records every effect, and turns whatever goes wrong into a typed
 * failure. `runEpisode` never rejects for something that happened inside the episode.
 */

import type { AnyPolicy, SamplingSettings } from "../engine/policy.ts";
import { isTrainable } from "../engine/policy-spec.ts";
import { type Key, key } from "../random/stream.ts";
import type { AnyAgent, Stage } from "./agent.ts";
import { AgentCalls, type Participants } from "./agent-calls.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Contexts } from "./context.ts";
import type { Effect } from "./effect.ts";
import { DeadlineError, EpisodeCancelledError, failureOf, RewardError } from "./errors.ts";
import { Gates } from "./gate.ts";
import { MapStore, type MemoryStore, MemoryUses } from "./memory.ts";
import { episodeEnded } from "./open-effect.ts";
import { PromptCache } from "./prompt-cache.ts";
import { RecordedEffects } from "./recorded-effects.ts";
import { RewardLedger } from "./reward-ledger.ts";
import {
  type Deadlines,
  defaultDeadlines,
  defaultLimits,
  type EpisodeLimits,
  EpisodeRuntime,
} from "./runtime.ts";
import { ToolCalls } from "./tool-calls.ts";
import {
  callReward,
  type EpisodeIdentity,
  episodeId,
  type ForkPoint,
  type Trajectory,
} from "./trajectory.ts";
import type { Watchdog } from "./watchdog.ts";
import type { AnyWorkflow, Workflow } from "./workflow.ts";

/** What episodes of one run share. */
export interface EpisodeSettings {
  readonly deadlines?: Deadlines;
  /** Instead of the workflow's own. */
  readonly limits?: EpisodeLimits;
  /** How many effects of a policy or a tool may run at once, over all episodes that are given the same gates. */
  readonly gates?: Gates;
  readonly clock?: Clock;
  readonly prompts?: PromptCache;
  /** Memory behind `ctx.memory`. Default: a new, empty one for each episode. */
  readonly memory?: MemoryStore;
  readonly watchdog?: Watchdog;
}

export interface EpisodeOptions<Task> extends EpisodeSettings {
  readonly workflow: Workflow<Task>;
  readonly task: Task;
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** φ: agent name → policy name. */
  readonly assignment: ReadonlyMap<string, string>;
  readonly stage: Stage;
  readonly identity: EpisodeIdentity;
  /** The run's seed. */
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** How agents sample, instead of their own settings for the stage. What a single call asks for stays. */
  readonly sampling?: (agent: AnyAgent) => SamplingSettings;
  /** A complete episode without any reward fails. Default: true in training. */
  readonly needsReward?: boolean;
  /** Effects of an earlier, unfinished attempt at this very episode: they are answered from here, the rest goes on. */
  readonly recorded?: readonly Effect[];
  /** Hears of every effect as it settles, for the run's journal. Random numbers follow from the seed and are not among them. */
  readonly onEffect?: (effect: Effect) => void;
}

/** The same, for whoever makes an episode in another way: from a journal, or as a branch of another. */
export interface EpisodePlan {
  readonly workflow: AnyWorkflow;
  readonly task: unknown;
  readonly stage: Stage;
  readonly identity: EpisodeIdentity;
  readonly seed: number;
  readonly forks: readonly ForkPoint[];
  readonly participants: Participants | undefined;
  readonly recorded: RecordedEffects | undefined;
  readonly needsReward: boolean;
  readonly settings: EpisodeSettings;
  readonly signal: AbortSignal | undefined;
  readonly onEffect: ((effect: Effect) => void) | undefined;
}

/**
 * Runs one episode.
 *
 * @example
 * const trajectory = await runEpisode({ workflow: atlas, task, policies, assignment, stage: "evaluate", identity, seed: 0 });
 * if (trajectory.status === "failed") console.error(trajectory.failure);
 */
export async function runEpisode<Task>(options: EpisodeOptions<Task>): Promise<Trajectory> {
  const { workflow, task, stage, identity, seed, policies, assignment } = options;
  const recorded =
    options.recorded && new RecordedEffects(options.recorded, "happens", options.clock ?? systemClock);
  const { trajectory } = await execute({
    workflow,
    task,
    stage,
    identity,
    seed,
    forks: [],
    participants: {
      policies,
      assignment,
      prompts: options.prompts ?? new PromptCache(),
      ...(options.sampling === undefined ? {} : { sampling: options.sampling }),
    },
    recorded,
    needsReward: options.needsReward ?? stage === "train",
    settings: options,
    signal: options.signal,
    onEffect: options.onEffect,
  });
  return trajectory;
}

/** The key of an episode and, folded into it, of every branching off since. */
export function episodeKey(seed: number, identity: EpisodeIdentity, forks: readonly ForkPoint[]): Key {
  const { purpose, step, group, task, sample } = identity;
  return forks.reduce<Key>(
    ([k0, k1], { at, branch }) => key(k0, k1, "fork", at, branch),
    key(seed, purpose, step, group, task, sample),
  );
}

/** Runs a plan to its end, whatever that is. `runtime.fatal` tells a replay that diverged. */
export async function execute(
  plan: EpisodePlan,
): Promise<{ readonly trajectory: Trajectory; readonly runtime: EpisodeRuntime }> {
  const { workflow, task, stage, identity, seed, forks, settings } = plan;
  const id = episodeId(identity, forks);
  const runtime = new EpisodeRuntime({
    id,
    workflow: workflow.name,
    stage,
    key: episodeKey(seed, identity, forks),
    clock: settings.clock ?? systemClock,
    deadlines: { ...defaultDeadlines, ...settings.deadlines },
    limits: { ...defaultLimits, ...workflow.limits, ...settings.limits },
    gates: settings.gates ?? new Gates(),
    recorded: plan.recorded,
    onEffect: plan.onEffect,
  });
  const calls = new AgentCalls(runtime, plan.participants);
  const tools = new ToolCalls(runtime);
  const memory = new MemoryUses(runtime, settings.memory ?? new MapStore());
  const rewards = new RewardLedger(runtime, calls);
  const contexts = new Contexts({ runtime, calls, tools, memory, rewards });

  const finish = (ending: Pick<Trajectory, "status" | "failure" | "result">): Trajectory => ({
    id,
    workflow: workflow.name,
    stage,
    identity,
    seed,
    forks,
    task,
    ...ending,
    calls: calls.close(),
    tools: tools.close(),
    children: contexts.close(),
    memory: memory.close(),
    draws: runtime.draws.sort((left, right) => left.issued - right.issued),
    rewards: rewards.terms,
    seconds: runtime.seconds(),
  });

  settings.watchdog?.add(runtime);
  try {
    const result = await underRuntime(runtime, plan.signal, () =>
      workflow.run(contexts.of(workflow, task, { path: "", workflow: workflow.name, depth: 0 })),
    );
    runtime.stop(episodeEnded);
    if (runtime.fatal !== undefined) throw runtime.fatal;
    const trajectory = finish({ status: "complete", result });
    if (plan.needsReward) checkRewards(trajectory, plan.participants);
    return { trajectory, runtime };
  } catch (error) {
    runtime.stop(error);
    if (error instanceof EpisodeCancelledError)
      return { trajectory: finish({ status: "cancelled" }), runtime };
    const failure = failureOf(runtime.fatal ?? error, { workflow: workflow.name, episode: id });
    return { trajectory: finish({ status: "failed", failure }), runtime };
  } finally {
    settings.watchdog?.remove(runtime);
  }
}

/** The workflow's function, under the episode's deadline and the caller's signal. */
function underRuntime(
  runtime: EpisodeRuntime,
  signal: AbortSignal | undefined,
  run: () => Promise<unknown>,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const end = (error: Error) => {
      finish();
      runtime.stop(error);
      reject(error);
    };
    const onAbort = () => end(cancelled(runtime));
    runtime.onGiveUp = end;
    const { episode } = runtime.deadlines;
    const timer = Number.isFinite(episode)
      ? runtime.clock.after(episode * 1000, () => end(late(runtime)))
      : undefined;
    const finish = () => {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted === true) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    started(run).then(
      (result) => {
        finish();
        resolve(result);
      },
      (error) => {
        finish();
        reject(error);
      },
    );
  });
}

/** Also for a function that is not async and throws at once. */
async function started(run: () => Promise<unknown>): Promise<unknown> {
  return run();
}

function cancelled({ id }: EpisodeRuntime): EpisodeCancelledError {
  return new EpisodeCancelledError({
    boundary: "workflow",
    code: "E_EPISODE_CANCELLED",
    message: `Episode ${id} was stopped from outside.`,
  });
}

function late(runtime: EpisodeRuntime): DeadlineError {
  const waiting = runtime.open().map(({ name }) => name);
  const { episode } = runtime.deadlines;
  return new DeadlineError({
    boundary: "workflow",
    code: "E_EPISODE_DEADLINE",
    message: `Episode ${runtime.id} of workflow "${runtime.workflow}" was not finished after ${episode} s; it was waiting for ${
      waiting.length === 0 ? "none of its effects, so the time went in its own code" : waiting.join(", ")
    }.`,
    hint: "raise `deadlines.episode`, or look for a loop that does not end.",
    facts: { episode: runtime.id, seconds: episode, waiting },
  });
}

/** A complete episode has a reward, and each of its calls that may be trained on is covered by one. */
export function checkRewards(trajectory: Trajectory, participants: Participants | undefined): void {
  if (trajectory.rewards.length > 0) {
    for (const call of trajectory.calls) {
      const policy = participants?.policies.get(call.policy);
      if (
        call.status === "complete" &&
        call.origin === "sampled" &&
        policy !== undefined &&
        isTrainable(policy)
      )
        callReward(trajectory, call);
    }
    return;
  }
  throw new RewardError({
    boundary: "reward",
    code: "E_REWARD_MISSING",
    message: `Workflow "${trajectory.workflow}" ended episode ${trajectory.id} without calling reward().`,
    hint: "call reward(value) before every return, also on early stops; a missing reward is not taken for a zero.",
    facts: { episode: trajectory.id },
  });
}
