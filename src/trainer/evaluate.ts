/**
 * @file Evaluation: one or more episodes per held-out task, named metrics, pass@k, and bootstrap intervals over tasks.
 * The unit is the task: episodes of one task are averaged first, since they are not independent of each other.
 */

import { key, stream } from "../random/stream.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import { meanReward, type Trajectory } from "../workflow/trajectory.ts";
import { bootstrapIntervals, type Interval } from "./bootstrap.ts";
import type { EvaluatedEpisode } from "./config.ts";
import { samplingOf } from "./evaluation-options.ts";
import { giveRewards } from "./give-rewards.ts";
import { refuseGradingLeaks } from "./grading-leak.ts";
import type { EpisodeRunner } from "./groups.ts";
import { passAt } from "./pass-at.ts";
import { runRecorded } from "./recorded-episode.ts";

export interface Evaluation {
  readonly step: number;
  /** Team by team, where the run has teams; episodes of one task side by side. */
  readonly trajectories: readonly Trajectory[];
  /**
   * [tasks] means over the task's complete episodes by metric, and "pass@k"; undefined where none was complete. Of teams:
   * each one's as "metric.team", and their mean as "metric".
   */
  readonly values: readonly (Readonly<Record<string, number>> | undefined)[];
  /** Tasks with values. */
  readonly n: number;
  /** Episodes a task (and team). */
  readonly samples: number;
  /** Failed episodes. */
  readonly failed: number;
  /** Means over tasks. A task with fewer than k complete episodes is not in the mean of pass@k. */
  readonly means: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<string, Interval>>;
}

export interface EvaluateOptions {
  readonly step: number;
  /** Part of the random keys, which matter where agents sample in evaluation. */
  readonly purpose: string;
  /** False for small evaluations: one episode a task, no pass@k and no intervals, which cost a quarter of a second. */
  readonly intervals: boolean;
}

/**
 * Runs the workflow on each task.
 *
 * @throws RunStoppedError E_GRADING_LEAK if a prompt contained what the task is graded with.
 */
export async function evaluate<Task>(
  runner: EpisodeRunner<Task>,
  tasks: readonly Task[],
  { step, purpose, intervals }: EvaluateOptions,
): Promise<Evaluation> {
  const { settings, signal } = runner;
  const ks = intervals ? settings.evaluation.passAt : [];
  const samples = intervals ? settings.evaluation.samples : 1;
  const teams = [...settings.teams];
  const about = { step, purpose, samples, ks };
  const parts: MeasuredTasks[] = [];
  if (teams.length === 0) parts.push(await measureTasks(runner, tasks, settings.assignment, 0, about));
  for (const [place, [, assignment]] of teams.entries())
    parts.push(await measureTasks(runner, tasks, assignment, place * samples, about));
  const trajectories = parts.flatMap((part) => part.trajectories);
  if (!signal.aborted) refuseGradingLeaks(trajectories, settings.gradingFields);
  const suffixes = teams.map(([name]) => `.${name}`);
  const values =
    teams.length === 0
      ? parts[0]!.values
      : tasks.map((_, i) =>
          ofTeams(
            suffixes,
            parts.map((part) => part.values[i]),
          ),
        );
  const names = [...Object.keys(settings.metrics), ...ks.map((k) => `pass@${k}`)];
  return {
    step,
    trajectories,
    values,
    n: values.filter((value) => value !== undefined).length,
    samples,
    failed: trajectories.filter(({ status }) => status === "failed").length,
    ...summarise(
      ["", ...suffixes].flatMap((suffix) => names.map((name) => `${name}${suffix}`)),
      values,
      settings.seed,
      intervals ? purpose : undefined,
    ),
  };
}

interface MeasuredTasks {
  readonly trajectories: readonly Trajectory[];
  /** [tasks] */
  readonly values: Evaluation["values"];
}

/** The tasks under one assignment; samples are numbered from `from`, so that teams have ids of their own. */
async function measureTasks<Task>(
  runner: EpisodeRunner<Task>,
  tasks: readonly Task[],
  assignment: ReadonlyMap<string, string>,
  from: number,
  about: {
    readonly step: number;
    readonly purpose: string;
    readonly samples: number;
    readonly ks: readonly number[];
  },
): Promise<MeasuredTasks> {
  const { step, purpose, samples, ks } = about;
  const { settings, policies, shared, journal, signal, onEpisode } = runner;
  const places = tasks.flatMap((task, index) =>
    Array.from({ length: samples }, (_, sample) => ({ task, index, sample })),
  );
  const sampling = samplingOf(settings.evaluation.decoding);
  const episodes = await mapConcurrently(
    places,
    settings.concurrency.episodes,
    ({ task, index, sample }) =>
      runRecorded(journal, {
        ...shared,
        ...(sampling === undefined ? {} : { sampling }),
        workflow: settings.workflow,
        task,
        policies,
        assignment,
        stage: "evaluate",
        identity: { purpose, step, group: index, task: index, sample: from + sample },
        seed: settings.seed,
        signal,
      }),
    onEpisode,
  );
  const groups = await giveRewards(
    tasks.map((task, i) => ({ task, trajectories: episodes.slice(i * samples, (i + 1) * samples) })),
    runner,
    { step, stage: "evaluate", learn: false },
  );
  const measured = groups.flatMap(({ task, trajectories }) =>
    trajectories.map((trajectory) =>
      trajectory.status === "complete"
        ? measure(settings, task, trajectory)
        : { trajectory, values: undefined, success: undefined },
    ),
  );
  return {
    trajectories: measured.map(({ trajectory }) => trajectory),
    values: tasks.map((_, i) => ofTask(measured.slice(i * samples, (i + 1) * samples), ks)),
  };
}

/** Each team's values under its name, and the means of those that all teams have. */
function ofTeams(
  suffixes: readonly string[],
  values: readonly (Readonly<Record<string, number>> | undefined)[],
): Readonly<Record<string, number>> | undefined {
  const own: Record<string, number> = {};
  for (const name of Object.keys(values.find((value) => value !== undefined) ?? {})) {
    const column = values.map((value) => value?.[name]);
    if (column.every((value) => value !== undefined)) own[name] = mean(column);
  }
  for (const [i, value] of values.entries())
    for (const [name, number] of Object.entries(value ?? {})) own[`${name}${suffixes[i]}`] = number;
  return Object.keys(own).length === 0 ? undefined : own;
}

type Measured = {
  readonly trajectory: Trajectory;
  readonly values: Readonly<Record<string, number>> | undefined;
  /** Undefined where nothing asks. */
  readonly success: boolean | undefined;
};

type MeasureSettings<Task> = Pick<EpisodeRunner<Task>["settings"], "metrics" | "evaluation">;

function measure<Task>(
  { metrics, evaluation }: MeasureSettings<Task>,
  task: Task,
  trajectory: Trajectory,
): Measured {
  const episode: EvaluatedEpisode<Task> = {
    result: trajectory.result,
    task,
    reward: meanReward(trajectory),
    trajectory,
  };
  const failed = (what: string): Measured => {
    const failure = {
      boundary: "reward",
      code: "E_METRIC",
      message: `${what} of episode ${trajectory.id}`,
    } as const;
    return {
      trajectory: { ...trajectory, status: "failed", failure },
      values: undefined,
      success: undefined,
    };
  };
  const values: Record<string, number> = {};
  for (const [name, metric] of Object.entries(metrics)) {
    const value = attempt(() => metric(episode));
    if (value instanceof Error) return failed(`Metric "${name}" threw "${value.message}" on the result`);
    if (typeof value !== "number" || !Number.isFinite(value))
      return failed(`Metric "${name}" is ${String(value)}, not a finite number, for the result`);
    values[name] = value;
  }
  if (evaluation.passAt.length === 0) return { trajectory, values, success: undefined };
  if (evaluation.success === undefined && trajectory.rewards.length === 0)
    return failed("pass@k counts rewards, and there is none, in the result");
  const success = attempt(() => (evaluation.success ?? (({ reward }) => reward >= 1))(episode));
  if (typeof success !== "boolean") return failed(`\`success\` gave ${String(success)} for the result`);
  return { trajectory, values, success };
}

function attempt<T>(work: () => T): T | Error {
  try {
    return work();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Means over the complete episodes of one task, and pass@k where enough of them are complete. */
function ofTask(
  measured: readonly Measured[],
  ks: readonly number[],
): Readonly<Record<string, number>> | undefined {
  const scored = measured.flatMap(({ values }) => (values === undefined ? [] : [values]));
  if (scored.length === 0) return undefined;
  const successes = measured.filter(({ success }) => success === true).length;
  const own: Record<string, number> = {};
  for (const name of Object.keys(scored[0]!)) own[name] = mean(scored.map((value) => value[name]!));
  for (const k of ks) if (k <= scored.length) own[`pass@${k}`] = passAt(k, scored.length, successes);
  return own;
}

const mean = (column: readonly number[]) => column.reduce((sum, value) => sum + value, 0) / column.length;

/** Each metric over the tasks that have it. Metrics of the same tasks share their resampling draws. */
function summarise(
  names: readonly string[],
  values: Evaluation["values"],
  seed: number,
  purpose: string | undefined,
): Pick<Evaluation, "means" | "intervals"> {
  const columns = names.map((name) =>
    values.flatMap((value) => (value?.[name] === undefined ? [] : [value[name]])),
  );
  const means = Object.fromEntries(
    names.flatMap((name, i) => (columns[i]!.length === 0 ? [] : [[name, mean(columns[i]!)]])),
  );
  const intervals: Record<string, Interval> = {};
  if (purpose !== undefined) {
    for (const size of new Set(columns.map(({ length }) => length))) {
      if (size === 0) continue;
      const alike = names.filter((_, i) => columns[i]!.length === size);
      const bounds = bootstrapIntervals(
        columns.filter(({ length }) => length === size),
        key(seed, "bootstrap", purpose),
      );
      for (const [i, name] of alike.entries()) intervals[name] = bounds[i]!;
    }
  }
  return { means, intervals };
}

/** Difference of means over the tasks that both evaluations scored, with its paired interval. */
export function compare(
  before: Pick<Evaluation, "values" | "means">,
  after: Pick<Evaluation, "values" | "means">,
  seed: number,
): Record<string, { readonly mean: number; readonly ci: Interval }> {
  const names = Object.keys(before.means);
  const differences = before.values.map((left, i) => {
    const right = after.values[i];
    return Object.fromEntries(
      names.flatMap((name) =>
        left?.[name] === undefined || right?.[name] === undefined ? [] : [[name, right[name] - left[name]]],
      ),
    );
  });
  const { means, intervals } = summarise(names, differences, seed, "change");
  return Object.fromEntries(
    Object.entries(means).map(([name, value]) => [name, { mean: value, ci: intervals[name]! }]),
  );
}

/** A fixed draw of tasks for small evaluations. */
export function evaluationSample<Task>(tasks: readonly Task[], size: number, seed: number): readonly Task[] {
  return stream(seed, "evaluation sample").shuffled(tasks).slice(0, size);
}
