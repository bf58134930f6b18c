/**
 * @file Weighted likelihood: L = −Σ_t w_t a_t ℓ_t with a ≥ 0 as the advantage, ∂L/∂ℓ_t = −w_t a_t. With a = 1 it is
 * supervised fine-tuning on what was sampled; with a = 1 for chosen episodes alone, rejection-sampling fine-tuning.
 *
 * Source: maximum likelihood; on chosen samples Yuan et al., RFT (arXiv 2308.01825), and Dong et al., RAFT (2304.06767).
 */

import { type Aggregation, checkAggregation } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { LossError } from "../errors.ts";
import type { LossKernel } from "../parts.ts";
import { tokenLoss } from "./token-loss.ts";

export interface LikelihoodSettings {
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
}

/** @throws MethodSettingsError E_AGGREGATION; its loss LossError E_LIKELIHOOD_WEIGHT for a negative weight. */
export function likelihood({ aggregation = "token-mean" }: LikelihoodSettings = {}): LossKernel & {
  readonly reads: "advantages";
  readonly ratio: "none";
} {
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "loss",
    name: "likelihood",
    reads: "advantages",
    ratio: "none",
    settings: { aggregation },
    loss: (input) =>
      tokenLoss(input, aggregation, ({ advantage, logprob }) => {
        if (advantage < 0) throw negativeWeight(advantage);
        return { loss: -advantage * logprob, slope: -advantage };
      }),
  } satisfies LossKernel);
}

const negativeWeight = (weight: number) =>
  new LossError({
    code: "E_LIKELIHOOD_WEIGHT",
    message: `A call has the weight ${weight} in the likelihood; weights are at least 0, and a likelihood that is lowered has no bound.`,
    hint: "choose episodes with bestOnly(), or take policyGradient() for advantages of both signs.",
    facts: { weight },
  });

export const likelihoodCard: MethodCard = {
  name: "likelihood",
  title: "Weighted likelihood",
  stage: "loss",
  line: "raises the likelihood of what was chosen: supervised and rejection-sampling fine-tuning",
  use: 'import { likelihood } from "troupe/methods"',
  formula: ["L = −Σ w_t · a_t · ℓ_t,   a ≥ 0"],
  defaults: { aggregation: { value: "token-mean", source: "customary" } },
  source: "maximum likelihood",
};
