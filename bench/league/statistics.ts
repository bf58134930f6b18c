/** @file Means of a few seeds, with Student's t interval: five runs are too few for a bootstrap. */

export interface Estimate {
  readonly n: number;
  readonly mean: number;
  /** 95 %, mean ± t · s / √n; none with one value. Not cut at 0 and 1. */
  readonly interval: readonly [number, number] | undefined;
}

/** The 97.5 % point of Student's t by degrees of freedom, from 1. */
const quantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

export function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  if (n === 0) throw new RangeError("There is no mean of no values.");
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { n, mean, interval: undefined };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  // Beyond the table t is at most 0.08 above its limit.
  const half = ((quantiles[n - 2] ?? 2.042) * Math.sqrt(variance)) / Math.sqrt(n);
  return { n, mean, interval: [mean - half, mean + half] };
}

/** "above": all of `left` is above all of `right`. Undefined where they overlap, or one has no interval. */
export function apart(left: Estimate, right: Estimate): "above" | "below" | undefined {
  if (left.interval === undefined || right.interval === undefined) return undefined;
  if (left.interval[0] > right.interval[1]) return "above";
  if (left.interval[1] < right.interval[0]) return "below";
  return undefined;
}

/** Mean height of a curve over [0, end], straight between its points and level after the last. */
export function meanHeight(curve: readonly (readonly [number, number])[], end: number): number {
  const [first] = curve;
  if (first === undefined || !(end > 0)) throw new RangeError("A curve needs a point and a length.");
  let area = 0;
  let [x, y] = [0, first[1]];
  for (const [nextX, nextY] of [...curve, [end, curve.at(-1)![1]] as const]) {
    if (nextX <= x) {
      y = nextY;
      continue;
    }
    const to = Math.min(nextX, end);
    const at = y + ((nextY - y) * (to - x)) / (nextX - x);
    area += ((y + at) / 2) * (to - x);
    if (nextX >= end) break;
    [x, y] = [nextX, nextY];
  }
  return area / end;
}
