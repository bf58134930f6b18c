/**
 * @file Count, mean and sum of squared deviations of values that come one by one or in two halves, without the
 * cancellation of Σr² − (Σr)²/n. Source: Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
 * Sample Variances" (1979).
 */

export interface Moments {
  readonly count: number;
  /** 0 where there is no value. */
  readonly mean: number;
  /** Σ (r − mean)² */
  readonly squares: number;
}

export const noMoments: Moments = Object.freeze({ count: 0, mean: 0, squares: 0 });

export function merged(left: Moments, right: Moments): Moments {
  if (right.count === 0) return left;
  if (left.count === 0) return right;
  const count = left.count + right.count;
  const difference = right.mean - left.mean;
  return {
    count,
    mean: left.mean + (difference * right.count) / count,
    squares: left.squares + right.squares + (difference ** 2 * left.count * right.count) / count,
  };
}

export function observed(moments: Moments, value: number): Moments {
  const count = moments.count + 1;
  const difference = value - moments.mean;
  const mean = moments.mean + difference / count;
  return { count, mean, squares: moments.squares + difference * (value - mean) };
}

export function momentsOf(values: readonly number[]): Moments {
  return values.reduce(observed, noMoments);
}
