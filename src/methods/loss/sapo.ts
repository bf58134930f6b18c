/**
 * @file SAPO: a smooth gate in place of clipping, a different one for each sign of the advantage:
 *
 *   L = −Σ_t w_t A_t f(ρ_t),   f(ρ) = 4/τ σ(τ (ρ − 1)),   τ = τ_pos where A > 0, else τ_neg
 *   ∂L/∂ℓ_t = −w_t A_t ρ_t 4 p (1 − p),   p = σ(τ (ρ_t − 1))
 *
 * At ρ = 1 it is the policy gradient; away from it gradients fade instead of being cut. τ_neg is the larger, since pushing
 * a token down raises all others.
 *
 * Source: Gao et al., "Soft Adaptive Policy Optimization" (arXiv 2511.20347), eqs. 5–8; τ_pos = 1, τ_neg = 1.05, mean over
 * sequences of token means.
 */

import { type Aggregation, checkAggregation } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { checkNumber } from "../number-setting.ts";
import type { LossKernel } from "../parts.ts";
import { tokenLoss } from "./token-loss.ts";

export interface SoftGateSettings {
  /** τ_pos. Default 1 (paper). */
  readonly positive?: number;
  /** τ_neg. Default 1.05 (paper). */
  readonly negative?: number;
  /** Default "sequence-mean" (paper). */
  readonly aggregation?: Aggregation;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function softGate(
  given: SoftGateSettings = {},
): LossKernel & { readonly reads: "advantages"; readonly ratio: "token" } {
  const { positive = 1, negative = 1.05, aggregation = "sequence-mean" } = given;
  checkNumber("softGate", "positive", positive, { above: 0 });
  checkNumber("softGate", "negative", negative, { above: 0 });
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "loss",
    name: "soft-gate",
    reads: "advantages",
    ratio: "token",
    settings: { positive, negative, aggregation },
    loss: (input) =>
      tokenLoss(input, aggregation, ({ ratio, advantage }) => {
        const tau = advantage > 0 ? positive : negative;
        const p = 1 / (1 + Math.exp(-tau * (ratio - 1)));
        return { loss: (-advantage * 4 * p) / tau, slope: -advantage * ratio * 4 * p * (1 - p) };
      }),
  } satisfies LossKernel);
}

export const softGateCard: MethodCard = {
  name: "soft-gate",
  title: "Soft gate (SAPO's loss)",
  stage: "loss",
  line: "gradients fade smoothly as the ratio leaves 1, instead of being cut off",
  use: 'import { softGate } from "troupe/methods"',
  formula: ["L = −Σ w_t · A_t · 4/τ · σ(τ (ρ_t − 1)),   τ = τ_pos where A > 0, else τ_neg"],
  defaults: {
    positive: { value: 1, source: "paper" },
    negative: { value: 1.05, source: "paper" },
    aggregation: { value: "sequence-mean", source: "paper" },
  },
  source: "Gao et al., SAPO (arXiv 2511.20347)",
};
