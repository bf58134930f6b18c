/**
 * @file Estimators of KL(π‖π_ref) from sampled tokens, with d = ℓ − ℓ_ref:
 *
 *   k1 = d                unbiased, high variance, may be negative     ∂k1/∂ℓ = 1
 *   k2 = d²/2             biased, low variance                         ∂k2/∂ℓ = d
 *   k3 = e^{−d} − 1 + d   unbiased, low variance, never negative       ∂k3/∂ℓ = 1 − e^{−d}
 *
 * Source: Schulman, "Approximating KL divergence" (2020). As a loss the expected gradient of k1 is zero, so k1 belongs
 * in the reward; k2's gradient is the one of the KL itself (Liu et al., arXiv 2510.01555).
 *
 * In the loss: β·k per token, with its gradient. In the reward (Ouyang et al., InstructGPT, 2203.02155): β·k of the
 * weights that sampled is taken off the reward of each token, and the advantages carry it to the tokens before.
 */

import { LossError, MethodSettingsError, wrongSetting } from "./errors.ts";
import type { BatchCall } from "./method.ts";

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

/** Where a method's KL term is. Closed. */
export type KlPlace = "loss" | "reward";

/** What methods with a KL term have in common. */
export interface KlSettings {
  /** β. Default 0; more keeps a frozen copy of each policy. */
  readonly klCoefficient?: number;
  /** Default "loss". */
  readonly klIn?: KlPlace;
  /** Default "k3" in the loss, "k1" in the reward. */
  readonly klEstimator?: KlEstimator;
}

/** The settings with their defaults. @throws MethodSettingsError */
export function klSettings(
  method: string,
  { klCoefficient = 0, klIn = "loss", klEstimator = klIn === "reward" ? "k1" : "k3" }: KlSettings,
): Required<KlSettings> {
  if (!(klCoefficient >= 0 && Number.isFinite(klCoefficient)))
    throw wrongSetting(method, "klCoefficient", klCoefficient, "a finite number of at least 0");
  if (klIn !== "loss" && klIn !== "reward") throw wrongSetting(method, "klIn", klIn, '"loss" or "reward"');
  if (!["k1", "k2", "k3"].includes(klEstimator))
    throw wrongSetting(method, "klEstimator", klEstimator, '"k1", "k2" or "k3"');
  if (klIn === "loss" && klEstimator === "k1" && klCoefficient > 0) {
    throw new MethodSettingsError({
      code: "E_METHOD_SETTING",
      message: `${method} has klEstimator "k1" in the loss, where its expected gradient is zero: it would hold nothing.`,
      hint: 'use klIn: "reward", or the estimator "k2" or "k3".',
      facts: { method, setting: "klEstimator" },
    });
  }
  return { klCoefficient, klIn, klEstimator };
}

/** [calls][length] β·k of each sampled token under the weights that sampled, for KL in the reward. */
export function klPenalties(
  batch: readonly BatchCall[],
  { klCoefficient, klEstimator }: Pick<Required<KlSettings>, "klCoefficient" | "klEstimator">,
): readonly Float32Array[] {
  return batch.map(({ episode, agent, occurrence, oldLogprobs, referenceLogprobs, length }) => {
    if (oldLogprobs?.length !== length || referenceLogprobs?.length !== length) {
      throw new LossError({
        code: "E_LOSS_SHAPE",
        message: `Call ${occurrence} of agent "${agent}" in episode ${episode} has ${length} tokens, but ${oldLogprobs?.length ?? "no"} old and ${referenceLogprobs?.length ?? "no"} reference log-probs.`,
        hint: "a method with KL in the reward needs `referenceInEstimate`.",
      });
    }
    return oldLogprobs.map((l, t) => klCoefficient * klValue(klEstimator, l - referenceLogprobs[t]!));
  });
}
