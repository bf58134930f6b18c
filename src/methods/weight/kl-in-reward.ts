/**
 * @file The KL to the start as a cost of each token, carried by the advantages to the tokens before it:
 *
 *   A_t ← A_t − β Σ_{u ≥ t} k(ℓ_old,u − ℓ_ref,u)      over the tokens of the call
 *
 * Source: Ouyang et al., InstructGPT (arXiv 2203.02155); Hu et al., REINFORCE++ (2501.03262), k1. As a cost in the reward
 * k1 is unbiased, gradient included. Default β: 0.01, OpenRLHF's.
 */

import type { MethodCard } from "../card.ts";
import { type KlEstimator, klPenalties, klSettings } from "../kl.ts";
import type { TokenWeight } from "../parts.ts";

export interface KlInRewardSettings {
  /** β. Default 0.01 (OpenRLHF). */
  readonly coefficient?: number;
  /** Default "k1". */
  readonly estimator?: KlEstimator;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function klInReward({ coefficient = 0.01, estimator = "k1" }: KlInRewardSettings = {}): TokenWeight {
  const settings = klSettings("klInReward", {
    klCoefficient: coefficient,
    klEstimator: estimator,
    klIn: "reward",
  });
  return Object.freeze({
    stage: "token weight",
    name: "kl-in-reward",
    settings: { coefficient, estimator },
    needs: { referenceInEstimate: true, tokensWithoutAdvantage: true },
    apply: (advantages, batch) => {
      const costs = klPenalties(batch, settings);
      return advantages.map((row, i) => {
        const all = new Float32Array(row.length);
        let following = 0;
        for (let t = row.length - 1; t >= 0; t--) {
          following += costs[i]![t]!;
          all[t] = row[t]! - following;
        }
        return all;
      });
    },
  } satisfies TokenWeight);
}

export const klInRewardCard: MethodCard = {
  name: "kl-in-reward",
  title: "KL in the reward",
  stage: "token weight",
  line: "each token pays for its distance to the start, and the tokens before it hear of it",
  use: 'import { klInReward } from "troupe/methods"',
  formula: ["A_t ← A_t − β Σ_{u ≥ t} k1(ℓ_old,u − ℓ_ref,u)"],
  defaults: {
    coefficient: { value: 0.01, source: "OpenRLHF" },
    estimator: { value: "k1", source: "REINFORCE++" },
  },
  source: "Ouyang et al. (arXiv 2203.02155); REINFORCE++ (2501.03262)",
};
