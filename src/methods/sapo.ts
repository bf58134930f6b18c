/**
 * @file SAPO: GRPO's advantages with a smooth gate in place of clipping (`loss/sapo.ts`):
 *
 *   A_i = (r_i − mean) / std;   L = −1/N Σ_i 1/|o_i| Σ_t A_i · 4/τ σ(τ (ρ_t − 1)),   τ = τ_pos where A > 0, else τ_neg
 *
 * Source: Gao et al., "Soft Adaptive Policy Optimization" (arXiv 2511.20347).
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { softGate } from "./loss/sapo.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface SapoSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** τ_pos. Default 1 (paper). */
  readonly positive?: number;
  /** τ_neg. Default 1.05 (paper). */
  readonly negative?: number;
  /** Default 0, the population's. */
  readonly ddof?: 0 | 1;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: sapo({ minibatches: 4 }) });
 */
export function sapo(given: SapoSettings = {}): Method {
  const { groupSize = 8, positive = 1, negative = 1.05, ddof = 0, epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "sapo",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ ddof }),
    loss: softGate({ positive, negative }),
    epochs,
    minibatches,
  });
}

export const sapoCard: MethodCard = {
  name: "sapo",
  title: "SAPO",
  stage: "method",
  line: "GRPO with a smooth gate in place of clipping: off-policy tokens fade instead of being cut off",
  use: 'import { sapo } from "troupe/methods"',
  formula: ["A_i = (r_i − mean) / std", "L = −1/N Σ_i 1/|o_i| Σ_t A_i · 4/τ σ(τ (ρ_t − 1))"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN" },
    positive: { value: 1, source: "paper" },
    negative: { value: 1.05, source: "paper" },
    ddof: { value: 0, source: "paper" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "Gao et al. (arXiv 2511.20347)",
};
