/**
 * @file Φ⁻¹, the quantile of the standard normal distribution, by rational approximation in the middle and in both tails;
 * relative error below 1.2e-9.
 * Source: P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function" (2003).
 */

const middle = {
  over: [
    -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1,
    2.506628277459239,
  ],
  under: [
    -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1,
    -1.328068155288572e1, 1,
  ],
} as const;
const tail = {
  over: [
    -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ],
  under: [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1],
} as const;
const tailBegins = 0.02425;

/** @param share strictly between 0 and 1; 0 and 1 give the infinities, anything else NaN. */
export function normalQuantile(share: number): number {
  if (share === 0) return Number.NEGATIVE_INFINITY;
  if (share === 1) return Number.POSITIVE_INFINITY;
  if (!(share > 0 && share < 1)) return Number.NaN;
  if (share > 0.5) return -normalQuantile(1 - share);
  if (share < tailBegins) {
    const q = Math.sqrt(-2 * Math.log(share));
    return horner(tail.over, q) / horner(tail.under, q);
  }
  const q = share - 0.5;
  return (q * horner(middle.over, q * q)) / horner(middle.under, q * q);
}

const horner = (coefficients: readonly number[], x: number) =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
