/**
 * @file Percentile bootstrap of means. Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), §13.3.
 * All columns are resampled with the same draws, so that they stay comparable and the draws are paid for once.
 */

import { philox } from "./philox.ts";
import type { Key } from "./stream.ts";

export type Interval = readonly [low: number, high: number];

/**
 * Interval of the mean of each column.
 * @param columns [c][n], all of one length n ≥ 1
 */
export function bootstrapIntervals(
  columns: readonly (readonly number[])[],
  at: Key,
  { resamples = 10_000, level = 0.95 }: { readonly resamples?: number; readonly level?: number } = {},
): Interval[] {
  const size = columns[0]?.length ?? 0;
  const means = columns.map(() => new Float64Array(resamples));
  const sums = new Float64Array(columns.length);
  const block = new Uint32Array(4);
  const scale = size / 0x1_0000_0000;
  for (let resample = 0; resample < resamples; resample++) {
    sums.fill(0);
    for (let i = 0; i < size; i++) {
      if (i % 4 === 0) philox(i / 4, resample, 0, 0, at[0], at[1], block);
      const drawn = Math.floor(block[i % 4]! * scale);
      for (let c = 0; c < columns.length; c++) sums[c]! += columns[c]![drawn]!;
    }
    for (let c = 0; c < columns.length; c++) means[c]![resample] = sums[c]! / size;
  }
  const tail = (1 - level) / 2;
  return means.map((sample): Interval => {
    sample.sort();
    return [quantile(sample, tail), quantile(sample, 1 - tail)];
  });
}

/** Linear interpolation between order statistics. */
function quantile(sorted: Float64Array, q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}
