/**
 * @file The plain policy gradient: L = −Σ_t w_t A_t ℓ_t, ∂L/∂ℓ_t = −w_t A_t. No ratio and no clipping, so the batch may be
 * gone through once.
 *
 * Source: Williams, "Simple statistical gradient-following algorithms" (1992), REINFORCE.
 */

import { type Aggregation, checkAggregation } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import type { LossKernel } from "../parts.ts";
import { tokenLoss } from "./token-loss.ts";

export interface PolicyGradientSettings {
  /** Default "sequence-sum": the gradient of the expected reward of a sequence (Williams). */
  readonly aggregation?: Aggregation;
}

export function policyGradient({ aggregation = "sequence-sum" }: PolicyGradientSettings = {}): LossKernel & {
  readonly reads: "advantages";
  readonly ratio: "none";
} {
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "loss",
    name: "policy-gradient",
    reads: "advantages",
    ratio: "none",
    settings: { aggregation },
    loss: (input) =>
      tokenLoss(input, aggregation, ({ logprob, advantage }) => ({
        loss: -advantage * logprob,
        slope: -advantage,
      })),
  } satisfies LossKernel);
}

export const policyGradientCard: MethodCard = {
  name: "policy-gradient",
  title: "Policy gradient",
  stage: "loss",
  line: "−A·ℓ: the plain policy gradient, for one update a batch",
  use: 'import { policyGradient } from "troupe/methods"',
  formula: ["L = −Σ w_t · A_t · ℓ_t", "∂L/∂ℓ_t = −w_t · A_t"],
  defaults: { aggregation: { value: "sequence-sum", source: "Williams (1992)" } },
  source: "Williams (1992), REINFORCE",
};
