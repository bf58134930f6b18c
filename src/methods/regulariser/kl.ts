/**
 * @file A penalty on the distance to the policy as it was at the start: L += Σ_t w_t β k(ℓ_t − ℓ_ref,t), with k2 or k3 as the
 * estimator of the KL (`kl.ts`); ∂/∂ℓ_t = w_t β k'.
 *
 * Source: Shao et al., "DeepSeekMath" (arXiv 2402.03300), eq. 4: k3, β = 0.04; estimators: Schulman (2020).
 */

import { type Aggregation, checkAggregation, tokenWeight } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { type KlEstimator, klGradient, klSettings, klValue } from "../kl.ts";
import { checkLossShapes, scoredTokens } from "../loss/token-loss.ts";
import type { LossInput, LossOutput } from "../method.ts";
import type { Regulariser } from "../parts.ts";

export interface KlPenaltySettings {
  /** β. Default 0.04 (DeepSeekMath); many later works use 0.001 to 0.01. */
  readonly coefficient?: number;
  /** Default "k3". k1's expected gradient in a loss is zero, so it belongs in the reward: `klInReward()`. */
  readonly estimator?: Exclude<KlEstimator, "k1">;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function klPenalty(given: KlPenaltySettings = {}): Regulariser {
  const { coefficient = 0.04, estimator = "k3", aggregation = "token-mean" } = given;
  klSettings("klPenalty", { klCoefficient: coefficient, klEstimator: estimator });
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "regulariser",
    name: "kl",
    settings: { coefficient, estimator, aggregation },
    needs: { reference: true, tokensWithoutAdvantage: true },
    loss: (input) => penalty(input, coefficient, estimator, aggregation),
  } satisfies Regulariser);
}

function penalty(
  input: LossInput,
  coefficient: number,
  estimator: KlEstimator,
  aggregation: Aggregation,
): LossOutput {
  checkLossShapes(input, ["referenceLogprobs"]);
  const { lengths, logprobs, referenceLogprobs, mask, totals } = input;
  const g = new Float32Array(logprobs.length);
  let loss = 0;
  let sum = 0;
  let tokens = 0;
  let at = 0;
  for (const length of lengths) {
    const end = at + length;
    const scored = scoredTokens(mask, at, end);
    const w = scored === 0 ? 0 : tokenWeight(aggregation, scored, totals);
    tokens += scored;
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      const d = logprobs[at]! - referenceLogprobs![at]!;
      loss += w * coefficient * klValue(estimator, d);
      g[at] = w * coefficient * klGradient(estimator, d);
      sum += klValue("k3", d);
    }
  }
  return { loss, gradients: { logprobs: g }, statistics: { tokens, sums: { referenceKl: sum }, maxima: {} } };
}

export const klPenaltyCard: MethodCard = {
  name: "kl-penalty",
  title: "KL penalty in the loss",
  stage: "regulariser",
  line: "holds a policy near what it was at the start, token by token",
  use: 'import { klPenalty } from "troupe/methods"',
  formula: ["L += Σ w_t · β · k3(ℓ_t − ℓ_ref,t),   k3(d) = e^{−d} − 1 + d"],
  defaults: {
    coefficient: { value: 0.04, source: "DeepSeekMath" },
    estimator: { value: "k3", source: "DeepSeekMath" },
    aggregation: { value: "token-mean", source: "CHOSEN: as the losses here" },
  },
  source: "Shao et al. (arXiv 2402.03300); Schulman (2020)",
};
