/** @file One run of the league: a method on a task with a seed and a learning rate, and what comes of it as one line. */

import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { silentReporter, TroupeError } from "troupe";
import type { Method } from "troupe/methods";
import type { LeagueEntry } from "./entries.ts";
import type { LeagueTask } from "./league-task.ts";

/** One run, named. */
export interface RaceOrder {
  readonly task: string;
  readonly method: string;
  readonly seed: number;
  readonly rate: number;
  readonly budget: number;
}

/** A line of results.jsonl. */
export interface RaceResult extends RaceOrder {
  /** Of the order, the method's settings and the task's shape; of no commit. */
  readonly key: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Tokens sampled for training, dropped and branched episodes included. */
  readonly sampledTokens: number;
  readonly steps: number;
  readonly episodes: number;
  /** Held-out score, greedy. */
  readonly before: number;
  readonly after: number;
  /** [sampled tokens, score on a fixed part of the held-out tasks]; the ends are of all of them. */
  readonly curve: readonly (readonly [number, number])[];
  /** Mean reward of the training episodes of the first and of the last quarter of the steps. */
  readonly rewards: readonly [number, number];
  /** Shares of steps in which no policy was updated, and of groups whose rewards did not differ. */
  readonly stepsWithoutUpdate: number;
  readonly groupsWithoutSignal: number;
  readonly seconds: number;
}

/** A run that ended with an error. Nothing is learned from it; it is tried again the next time. */
export interface RaceFailure extends RaceOrder {
  readonly key: string;
  readonly error: string;
}

/** The same for runs that compute the same: the task's shape, the method with all its settings, seed and rate. */
export function raceKey(order: RaceOrder, task: LeagueTask, method: Method): string {
  const { name, settings, groupSize, needs } = method;
  const { score, episodesPerStep, tokensPerEpisode, minibatches, evaluateEvery } = task;
  const shape = { score, episodesPerStep, tokensPerEpisode, minibatches, evaluateEvery };
  const all = { order, shape, method: { name, settings, groupSize, needs } };
  return createHash("sha256").update(canonical(all)).digest("hex").slice(0, 16);
}

/** JSON with sorted keys; Infinity is not lost. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, found: unknown) => {
    if (typeof found === "number" && !Number.isFinite(found)) return String(found);
    if (typeof found !== "object" || found === null || Array.isArray(found)) return found;
    return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** A bound only: what ends a run is its budget, and methods that sample less than planned take more steps. */
const stepsPerPlanned = 4;

export function plannedSteps(task: LeagueTask, budget: number): number {
  return Math.ceil(budget / (task.episodesPerStep * task.tokensPerEpisode));
}

/** @param folder Where the run's folder is made; it is removed after a run that went well. */
export async function race(
  order: RaceOrder,
  task: LeagueTask,
  entry: LeagueEntry,
  folder: string,
): Promise<RaceResult | RaceFailure> {
  const method: Method = { ...entry.method(), updates: { epochs: 1, minibatches: task.minibatches } };
  const key = raceKey(order, task, method);
  const perTask = entry.episodesPerTask ?? method.groupSize;
  const run = `${task.name}-${entry.name.replace(/[^\w-]+/g, "-")}-${order.seed}-${key}`;
  const log = new RaceLog(task.score);
  try {
    const summary = await task.start(
      {
        method,
        valueHeads: Number(method.needs.values ?? 0),
        steps: plannedSteps(task, order.budget) * stepsPerPlanned,
        tokenBudget: order.budget,
        tasksPerStep: Math.max(1, Math.round(task.episodesPerStep / perTask)),
        seed: order.seed,
        learningRate: order.rate,
        run,
        runsFolder: folder,
        evaluateEvery: task.evaluateEvery,
      },
      { reporter: { ...silentReporter, event: (facts) => log.hear(facts) }, fresh: true },
    );
    const result = { ...order, key, settings: method.settings, ...log.result(), seconds: summary.seconds };
    await rm(join(folder, run), { recursive: true, force: true });
    return result;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const code = error instanceof TroupeError ? `${error.code}: ` : "";
    return { ...order, key, error: `${code}${error.message}` };
  }
}

interface StepFacts {
  readonly sampledTokens: number;
  readonly episodes: number;
  readonly groups: number;
  readonly groupsWithoutSignal: number;
  readonly reward: { readonly mean: number };
  readonly policies: Readonly<Record<string, { readonly updated: boolean }>>;
}

/** Reads a run's events as they are reported. */
class RaceLog {
  readonly #score: string;
  readonly #steps: StepFacts[] = [];
  readonly #curve: (readonly [number, number])[] = [];
  #tokens = 0;

  constructor(score: string) {
    this.#score = score;
  }

  hear(facts: Readonly<Record<string, unknown>>): void {
    if (facts.kind === "step") {
      const step = facts as unknown as StepFacts;
      this.#steps.push(step);
      this.#tokens += step.sampledTokens;
    }
    if (facts.kind === "evaluation") this.#curve.push([this.#tokens, facts[this.#score] as number]);
  }

  result(): Pick<
    RaceResult,
    | "sampledTokens"
    | "steps"
    | "episodes"
    | "before"
    | "after"
    | "curve"
    | "rewards"
    | "stepsWithoutUpdate"
    | "groupsWithoutSignal"
  > {
    const steps = this.#steps;
    const sum = (value: (step: StepFacts) => number) => steps.reduce((total, step) => total + value(step), 0);
    const rewards = steps.map(({ reward }) => reward.mean);
    const quarter = Math.max(1, Math.floor(steps.length / 4));
    const mean = (values: readonly number[]) =>
      values.reduce((total, value) => total + value, 0) / values.length;
    return {
      sampledTokens: this.#tokens,
      steps: steps.length,
      episodes: sum(({ episodes }) => episodes),
      before: this.#curve[0]![1],
      after: this.#curve.at(-1)![1],
      curve: this.#curve,
      rewards: [mean(rewards.slice(0, quarter)), mean(rewards.slice(-quarter))],
      stepsWithoutUpdate:
        sum(({ policies }) => (Object.values(policies).some(({ updated }) => updated) ? 0 : 1)) /
        steps.length,
      groupsWithoutSignal: sum((step) => step.groupsWithoutSignal) / sum(({ groups }) => groups),
    };
  }
}
