/**
 * @file Estimators of KL(π‖π_ref) from sampled tokens, with d = ℓ − ℓ_ref:
 *
 *   k1 = d                unbiased, high variance, may be negative     ∂k1/∂ℓ = 1
 *   k2 = d²/2             biased, low variance                         ∂k2/∂ℓ = d
 *   k3 = e^{−d} − 1 + d   unbiased, low variance, never negative       ∂k3/∂ℓ = 1 − e^{−d}
 *
 * Source: Schulman, "Approximating KL divergence" (2020). As a loss the expected gradient of k1 is zero, so k1 belongs
 * in the reward; k2's gradient is the one of the KL itself (Liu et al., arXiv 2510.01555).
 */

/** Closed. */
export type KlEstimator = "k1" | "k2" | "k3";

/** Value of an estimator at d = ℓ − ℓ_ref. */
export function klValue(estimator: KlEstimator, d: number): number {
  if (estimator === "k1") return d;
  if (estimator === "k2") return (d * d) / 2;
  return Math.exp(-d) - 1 + d;
}

/** ∂/∂ℓ of an estimator at d = ℓ − ℓ_ref. */
export function klGradient(estimator: KlEstimator, d: number): number {
  if (estimator === "k1") return 1;
  if (estimator === "k2") return d;
  return 1 - Math.exp(-d);
}
