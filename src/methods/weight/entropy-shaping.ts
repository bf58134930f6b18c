/**
 * @file Entropy shaping: tokens at which the policy was undecided get a bonus,
 *
 *   A'_t = A_t + min(|A_t| / κ, α H_t),   H_t of the weights before the update, without gradient
 *
 * whatever the sign of A_t; with κ > 1 no sign turns. It keeps a method without groups from narrowing too early.
 *
 * Source: MSSR (arXiv 2512.18215); α and κ from the configuration of its code (notes print them swapped).
 */

import type { MethodCard } from "../card.ts";
import { LossError } from "../errors.ts";
import { checkNumber } from "../number-setting.ts";
import type { TokenWeight } from "../parts.ts";

export interface EntropyShapingSettings {
  /** α. Default 0.4 (MSSR). */
  readonly alpha?: number;
  /** κ > 1. Default 2 (MSSR). */
  readonly kappa?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function entropyShaping(given: EntropyShapingSettings = {}): TokenWeight {
  const { alpha = 0.4, kappa = 2 } = given;
  checkNumber("entropyShaping", "alpha", alpha, { least: 0 });
  checkNumber("entropyShaping", "kappa", kappa, { above: 1 });
  return Object.freeze({
    stage: "token weight",
    name: "entropy-shaping",
    settings: { alpha, kappa },
    needs: { entropyInEstimate: true },
    apply: (advantages, batch) =>
      advantages.map((row, i) => {
        const { entropies, agent, episode } = batch[i]!;
        if (entropies?.length !== row.length) {
          throw new LossError({
            code: "E_ESTIMATE_SHAPE",
            message: `A call of agent "${agent}" in episode ${episode} has ${row.length} tokens and ${entropies?.length ?? "no"} entropies.`,
            hint: "whoever runs the method gives `entropies` where it asks for `entropyInEstimate`.",
            facts: { episode, agent },
          });
        }
        return row.map((value, t) => value + Math.min(Math.abs(value) / kappa, alpha * entropies[t]!));
      }),
  } satisfies TokenWeight);
}

export const entropyShapingCard: MethodCard = {
  name: "entropy-shaping",
  title: "Entropy shaping",
  stage: "token weight",
  line: "a bonus for tokens at which the policy was undecided: take it where policies narrow too early",
  use: 'import { entropyShaping } from "troupe/methods"',
  formula: ["A' = A + min(|A| / κ, α H), H without gradient"],
  defaults: {
    alpha: { value: 0.4, source: "official configuration" },
    kappa: { value: 2, source: "official configuration" },
  },
  source: "MSSR (arXiv 2512.18215)",
};
