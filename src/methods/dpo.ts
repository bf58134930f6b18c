/**
 * @file DPO, online: of each group the best episode is preferred to the worst, call by call,
 *
 *   L = mean over pairs of −log σ(β [Σ (ℓ − ℓ_ref)⁺ − Σ (ℓ − ℓ_ref)⁻])
 *
 * Source: Rafailov et al., "Direct Preference Optimization" (arXiv 2305.18290), β = 0.1; pairs that the policy samples
 * itself: Guo et al., "Direct Language Model Alignment from Online AI Feedback" (2402.04792); pairs by call: CHOSEN.
 */

import { bestAgainstWorst } from "./advantage/best-worst.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { preference } from "./loss/preference.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface DpoSettings {
  /** Episodes per task, of which two make a pair. Default 8. */
  readonly groupSize?: number;
  /** β. Default 0.1 (paper). */
  readonly beta?: number;
  /** λ of a likelihood term on the chosen calls. Default 0. */
  readonly likelihoodWeight?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: dpo({ groupSize: 4 }) });
 */
export function dpo(given: DpoSettings = {}): Method {
  const { groupSize = 8, beta = 0.1, likelihoodWeight = 0, epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "dpo",
    sampler: fixedGroups<number>(groupSize),
    advantage: bestAgainstWorst(),
    loss: preference({ beta, likelihoodWeight }),
    epochs,
    minibatches,
  });
}

export const dpoCard: MethodCard = {
  name: "dpo",
  title: "DPO",
  stage: "method",
  line: "the best episode of each group is preferred to the worst: no advantages, one pair a group",
  use: 'import { dpo } from "troupe/methods"',
  formula: ["L = mean over pairs of −log σ(β [Σ (ℓ − ℓ_ref)⁺ − Σ (ℓ − ℓ_ref)⁻])"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN" },
    beta: { value: 0.1, source: "paper" },
    likelihoodWeight: { value: 0, source: "paper" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "Rafailov et al. (arXiv 2305.18290); online: Guo et al. (2402.04792)",
  notes: ["CHOSEN: pairs by agent, scope and turn"],
};
