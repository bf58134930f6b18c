/**
 * @file Rejection-sampling fine-tuning: the policy learns by likelihood from those of its own episodes that are right,
 *
 *   L = −1/T Σ_i 1[r_i ≥ threshold] Σ_t ℓ_t      T: tokens of the episodes that are kept
 *
 * keep "best": from the best of each group (RAFT); "all": from every episode, whoever answered well or not, which is
 * supervised fine-tuning on sampled text (useful after a filter of one's own).
 *
 * Source: Yuan et al., RFT (arXiv 2308.01825); Dong et al., RAFT (2304.06767); Zelikman et al., STaR (2203.14465).
 */

import { bestOnly } from "./advantage/best-only.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { likelihood } from "./loss/likelihood.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface RejectionSamplingSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** Default "right". */
  readonly keep?: "right" | "best" | "all";
  /** Default 1. */
  readonly threshold?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: rejectionSampling({ threshold: 0.9 }) });
 */
export function rejectionSampling(given: RejectionSamplingSettings = {}): Method {
  const { groupSize = 8, keep = "right", threshold = 1, epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "rejection-sampling",
    sampler: fixedGroups<number>(groupSize),
    advantage: bestOnly({ keep, threshold }),
    loss: likelihood(),
    epochs,
    minibatches,
  });
}

export const rejectionSamplingCard: MethodCard = {
  name: "rejection-sampling",
  title: "Rejection-sampling fine-tuning",
  stage: "method",
  line: "likelihood of the episodes that are right: hard to get wrong, slow to leave bad habits",
  use: 'import { rejectionSampling } from "troupe/methods"',
  formula: ["L = −1/T Σ_i 1[r_i ≥ threshold] Σ_t ℓ_t"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN" },
    keep: { value: "right", source: "RFT" },
    threshold: { value: 1, source: "CHOSEN" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "RFT (arXiv 2308.01825); RAFT (2304.06767)",
};
