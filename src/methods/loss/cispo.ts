/**
 * @file CISPO: the importance weight is clipped, and not the update, so that no token loses its gradient:
 *
 *   L = −Σ_t w_t sg(min(max(ρ_t, 1 − ε_low), 1 + ε_high)) A_t ℓ_t,   ∂L/∂ℓ_t = −w_t A_t clip(ρ_t)
 *
 * Source: MiniMax-M1 (arXiv 2506.13585), eqs. 4–5: clip from above alone, ε_high tuned and not printed. Defaults here are
 * those that F-GRPO (2602.06717) uses for CISPO, 1 and 5: ρ is at most 6 and not bounded from below.
 */

import { type Aggregation, checkAggregation } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { LossKernel } from "../parts.ts";
import { tokenLoss } from "./token-loss.ts";

export interface ClippedImportanceSettings {
  /** ε_low; 1 bounds nothing from below. Default 1. */
  readonly clipLow?: number;
  /** ε_high. Default 5. */
  readonly clipHigh?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
}

export function clippedImportance(
  given: ClippedImportanceSettings = {},
): LossKernel & { readonly reads: "advantages"; readonly ratio: "token" } {
  const settings = { clipLow: 1, clipHigh: 5, aggregation: "token-mean" as Aggregation, ...given };
  const { clipLow, clipHigh, aggregation } = settings;
  for (const name of ["clipLow", "clipHigh"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      throw wrongSetting("clippedImportance", name, settings[name], "a finite number of at least 0");
  }
  checkAggregation(aggregation);
  return Object.freeze({
    stage: "loss",
    name: "clipped-importance",
    reads: "advantages",
    ratio: "token",
    settings,
    loss: (input) =>
      tokenLoss(input, aggregation, ({ ratio, advantage, logprob }) => {
        const weight = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
        return {
          loss: -weight * advantage * logprob,
          slope: -weight * advantage,
          clipped: weight !== ratio,
        };
      }),
  } satisfies LossKernel);
}

export const clippedImportanceCard: MethodCard = {
  name: "clipped-importance",
  title: "Clipped importance weights (CISPO's loss)",
  stage: "loss",
  line: "clips the importance weight instead of the update: no token loses its gradient",
  use: 'import { clippedImportance } from "troupe/methods"',
  formula: [
    "L = −Σ w_t · sg(clip(ρ_t, 1 − ε_low, 1 + ε_high)) · A_t · ℓ_t",
    "∂L/∂ℓ_t = −w_t · A_t · clip(ρ_t)",
  ],
  defaults: {
    clipLow: { value: 1, source: "F-GRPO (2602.06717) for CISPO" },
    clipHigh: { value: 5, source: "F-GRPO (2602.06717) for CISPO; not printed in MiniMax-M1" },
    aggregation: { value: "token-mean", source: "MiniMax-M1" },
  },
  source: "MiniMax-M1 (arXiv 2506.13585)",
};
