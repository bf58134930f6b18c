/** @file Evaluation: one greedy episode per held-out task, named metrics, and bootstrap intervals of their means. */

import { key, stream } from "../random/stream.ts";
import { runEpisode } from "../workflow/episode.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import { type Trajectory, trajectoryReward } from "../workflow/trajectory.ts";
import { bootstrapIntervals, type Interval } from "./bootstrap.ts";
import type { EpisodeRunner } from "./groups.ts";

export interface Evaluation {
  readonly step: number;
  readonly trajectories: readonly Trajectory[];
  /** [tasks] values by metric; undefined where the episode failed. */
  readonly values: readonly (Readonly<Record<string, number>> | undefined)[];
  /** Episodes with values. */
  readonly n: number;
  readonly failed: number;
  readonly means: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<string, Interval>>;
}

export interface EvaluateOptions {
  readonly step: number;
  /** Part of the random keys, which matter where agents sample in evaluation. */
  readonly purpose: string;
  /** Bootstrap intervals cost a quarter of a second; small evaluations do without. */
  readonly intervals: boolean;
}

/** Runs the workflow once on each task. */
export async function evaluate<Task>(
  { settings, policies, shared, signal, onEpisode }: EpisodeRunner<Task>,
  tasks: readonly Task[],
  { step, purpose, intervals }: EvaluateOptions,
): Promise<Evaluation> {
  const names = Object.keys(settings.metrics);
  const episodes = await mapConcurrently(
    tasks,
    settings.concurrency.episodes,
    async (task, index) => {
      const trajectory = await runEpisode({
        ...shared,
        workflow: settings.workflow,
        task,
        policies,
        assignment: settings.assignment,
        stage: "evaluate",
        identity: { purpose, step, group: index, task: index, sample: 0 },
        seed: settings.seed,
        signal,
      });
      return trajectory.status === "complete"
        ? measure(settings.metrics, task, trajectory)
        : { trajectory, values: undefined };
    },
    onEpisode,
  );
  const values = episodes.map((episode) => episode.values);
  const scored = values.filter((value) => value !== undefined);
  const columns = names.map((name) => scored.map((value) => value[name]!));
  const means = columns.map((column) => column.reduce((sum, value) => sum + value, 0) / column.length);
  const bounds =
    intervals && scored.length > 0
      ? bootstrapIntervals(columns, key(settings.seed, "bootstrap", purpose))
      : [];
  return {
    step,
    trajectories: episodes.map(({ trajectory }) => trajectory),
    values,
    n: scored.length,
    failed: episodes.filter(({ trajectory }) => trajectory.status === "failed").length,
    means: Object.fromEntries(names.map((name, i) => [name, means[i]!])),
    intervals: Object.fromEntries(bounds.map((interval, i) => [names[i]!, interval])),
  };
}

type Measured = {
  readonly trajectory: Trajectory;
  readonly values: Readonly<Record<string, number>> | undefined;
};

function measure<Task>(
  metrics: EpisodeRunner<Task>["settings"]["metrics"],
  task: Task,
  trajectory: Trajectory,
): Measured {
  const values: Record<string, number> = {};
  for (const [name, metric] of Object.entries(metrics)) {
    let value: number | Error;
    try {
      value = metric({ result: trajectory.result, task, reward: trajectoryReward(trajectory), trajectory });
    } catch (error) {
      value = error instanceof Error ? error : new Error(String(error));
    }
    if (typeof value !== "number" || !Number.isFinite(value)) {
      const what =
        value instanceof Error ? `threw: ${value.message}` : `is ${String(value)}, not a finite number`;
      const message = `Metric "${name}" of episode ${trajectory.id} ${what}`;
      const failure = { boundary: "reward", code: "E_METRIC", message } as const;
      return { trajectory: { ...trajectory, status: "failed", failure }, values: undefined };
    }
    values[name] = value;
  }
  return { trajectory, values };
}

/** Difference of means over the tasks that both evaluations scored, with its paired interval. */
export function compare(
  before: Evaluation,
  after: Evaluation,
  seed: number,
): Record<string, { readonly mean: number; readonly ci: Interval }> {
  const names = Object.keys(before.means);
  const pairs = before.values.flatMap((left, i) => {
    const right = after.values[i];
    return left === undefined || right === undefined ? [] : [{ left, right }];
  });
  if (pairs.length === 0) return {};
  const columns = names.map((name) => pairs.map(({ left, right }) => right[name]! - left[name]!));
  const bounds = bootstrapIntervals(columns, key(seed, "bootstrap", "change"));
  return Object.fromEntries(
    names.map((name, i) => {
      const column = columns[i]!;
      return [name, { mean: column.reduce((sum, value) => sum + value, 0) / column.length, ci: bounds[i]! }];
    }),
  );
}

/** A fixed draw of tasks for small evaluations. */
export function evaluationSample<Task>(tasks: readonly Task[], size: number, seed: number): readonly Task[] {
  return stream(seed, "evaluation sample").shuffled(tasks).slice(0, size);
}
