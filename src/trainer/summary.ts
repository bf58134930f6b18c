/** @file What a run comes to: `summary.json`, and the same in words. */

import type { Interval } from "./bootstrap.ts";
import type { Evaluation } from "./evaluate.ts";

/** Means by metric name beside `n`, for example { f1, em, n, failed, ci: { f1: [low, high], … } }. */
export type EvaluationSummary = { readonly [metric: string]: number | Readonly<Record<string, Interval>> } & {
  readonly n: number;
  readonly failed: number;
  /** 95 %, percentile bootstrap. */
  readonly ci: Readonly<Record<string, Interval>>;
};

export interface RunSummary {
  readonly before?: EvaluationSummary;
  readonly after?: EvaluationSummary;
  /** after − before over the same tasks, with paired intervals. */
  readonly change?: Readonly<Record<string, { readonly mean: number; readonly ci: Interval }>>;
  readonly steps: number;
  readonly seconds: number;
  readonly seed: number;
  readonly interrupted: boolean;
  readonly run: string;
  /** The newest checkpoint. */
  readonly checkpoint: string;
}

function summarise({ means, n, samples, failed, intervals }: Evaluation): EvaluationSummary {
  return { ...means, n, ...(samples > 1 ? { samples } : {}), failed, ci: intervals };
}

export function runSummary(
  facts: Pick<RunSummary, "steps" | "seconds" | "seed" | "interrupted" | "run" | "checkpoint"> & {
    readonly before: Evaluation | undefined;
    readonly after: Evaluation | undefined;
    readonly change: RunSummary["change"] | undefined;
  },
): RunSummary & Readonly<Record<string, unknown>> {
  const { before, after, change, seconds, ...rest } = facts;
  return {
    ...(before === undefined ? {} : { before: summarise(before) }),
    ...(after === undefined ? {} : { after: summarise(after) }),
    ...(change === undefined ? {} : { change }),
    ...rest,
    seconds: Math.round(seconds * 10) / 10,
  };
}

/** "held-out f1 0.312 [0.270, 0.355] → 0.701 [0.660, 0.743], em …, n = 400" */
export function describeChange(
  { means, intervals, n, samples, failed }: Evaluation,
  before: Evaluation | undefined,
): string {
  const shown = (mean: number, interval: Interval | undefined) =>
    interval === undefined
      ? mean.toFixed(3)
      : `${mean.toFixed(3)} [${interval[0].toFixed(3)}, ${interval[1].toFixed(3)}]`;
  const metrics = Object.entries(means).map(([name, mean]) => {
    const earlier = before?.means[name];
    const start = earlier === undefined ? "" : `${shown(earlier, before?.intervals[name])} → `;
    return `${name} ${start}${shown(mean, intervals[name])}`;
  });
  return `held-out ${metrics.join(", ")}, n = ${n}${samples > 1 ? ` tasks × ${samples} episodes` : ""}${failed === 0 ? "" : ` (${failed} failed)`}`;
}
