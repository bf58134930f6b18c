/**
 * @file CISPO: GRPO's advantages, and importance weights that are clipped instead of updates (`loss/cispo.ts`):
 *
 *   A_i = (r_i − mean) / std;   L = −1/T Σ_i Σ_t sg(clip(ρ_t, 1 − ε_low, 1 + ε_high)) A_i ℓ_t
 *
 * Source: MiniMax-M1 (arXiv 2506.13585), §3.1; the clip range, not printed there, is F-GRPO's (2602.06717).
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clippedImportance } from "./loss/cispo.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface CispoSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** ε_low. Default 1: no bound from below. */
  readonly clipLow?: number;
  /** ε_high. Default 5. */
  readonly clipHigh?: number;
  /** Default 0, the population's. */
  readonly ddof?: 0 | 1;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: cispo({ minibatches: 4 }) });
 */
export function cispo(given: CispoSettings = {}): Method {
  const { groupSize = 8, clipLow = 1, clipHigh = 5, ddof = 0, epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "cispo",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ ddof }),
    loss: clippedImportance({ clipLow, clipHigh }),
    epochs,
    minibatches,
  });
}

export const cispoCard: MethodCard = {
  name: "cispo",
  title: "CISPO",
  stage: "method",
  line: "clips importance weights instead of updates, so that rare decisive tokens keep their gradient",
  use: 'import { cispo } from "troupe/methods"',
  formula: ["A_i = (r_i − mean) / std", "L = −1/T Σ_i Σ_t sg(clip(ρ_t, 1 − ε_low, 1 + ε_high)) A_i ℓ_t"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN" },
    clipLow: { value: 1, source: "F-GRPO (2602.06717)" },
    clipHigh: { value: 5, source: "F-GRPO (2602.06717); not printed in MiniMax-M1" },
    ddof: { value: 0, source: "paper" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "MiniMax-M1 (arXiv 2506.13585)",
};
