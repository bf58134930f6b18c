/**
 * @file An entropy bonus: L −= Σ_t w_t η H_t, ∂L/∂H_t = −w_t η, with H the entropy of the whole next-token distribution.
 *
 * Source: Williams & Peng, "Function optimization using connectionist reinforcement learning algorithms" (1991); Mnih et
 * al., A3C (arXiv 1602.01783), §4, η = 0.01. For language models mostly 0 to 0.001.
 */

import { type Aggregation, checkAggregation, tokenWeight } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { checkLossShapes, scoredTokens } from "../loss/token-loss.ts";
import { checkNumber } from "../number-setting.ts";
import type { Regulariser } from "../parts.ts";

export interface EntropyBonusSettings {
  /** η. Default 0.001 (CHOSEN). */
  readonly coefficient?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function entropyBonus(given: EntropyBonusSettings = {}): Regulariser {
  const { coefficient = 0.001, aggregation = "token-mean" } = given;
  checkNumber("entropyBonus", "coefficient", coefficient, { least: 0 });
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "regulariser",
    name: "entropy-bonus",
    settings: { coefficient, aggregation },
    needs: { entropy: true, tokensWithoutAdvantage: true },
    loss: (input) => {
      checkLossShapes(input, ["entropies"]);
      const { lengths, entropies, mask, totals } = input;
      const h = new Float32Array(entropies!.length);
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
          loss -= w * coefficient * entropies![at]!;
          h[at] = -w * coefficient;
          sum += entropies![at]!;
        }
      }
      return {
        loss,
        gradients: { logprobs: new Float32Array(h.length), entropies: h },
        statistics: { tokens, sums: { exactEntropy: sum }, maxima: {} },
      };
    },
  } satisfies Regulariser);
}

export const entropyBonusCard: MethodCard = {
  name: "entropy-bonus",
  title: "Entropy bonus",
  stage: "regulariser",
  line: "pays for entropy, so that a policy does not become sure too early",
  use: 'import { entropyBonus } from "troupe/methods"',
  formula: ["L −= Σ w_t · η · H_t"],
  defaults: {
    coefficient: { value: 0.001, source: "CHOSEN; A3C has 0.01" },
    aggregation: { value: "token-mean", source: "CHOSEN: as the losses here" },
  },
  source: "Williams & Peng (1991); Mnih et al. (arXiv 1602.01783)",
};
