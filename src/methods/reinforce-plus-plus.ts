/**
 * @file REINFORCE++: one episode a task is enough, since advantages are normalised over the whole batch,
 *
 *   A_t = r − β Σ_{u ≥ t} (ℓ_old,u − ℓ_ref,u),   A ← (A − mean) / √(var + ε) over all tokens of the policy's batch
 *   L = 1/T Σ_t max(−A ρ_t, −A clip(ρ_t, 1 − ε, 1 + ε))
 *
 * `baseline: "group"` takes the mean of the group off first (REINFORCE++-baseline), for rewards that differ from task to
 * task.
 *
 * Source: Hu, "REINFORCE++" (arXiv 2501.03262), eqs. 5–8, and OpenRLHF for defaults: β = 0.01, ε = 0.2.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";
import { klInReward } from "./weight/kl-in-reward.ts";
import { whitened } from "./weight/whitened.ts";

export interface ReinforcePlusPlusSettings {
  /** Episodes per task. Default 1; 8 with `baseline: "group"`. */
  readonly groupSize?: number;
  /** Default "none". */
  readonly baseline?: "none" | "group";
  /** β; 0 keeps no copy of the start. Default 0.01 (OpenRLHF). */
  readonly klCoefficient?: number;
  /** ε, both sides. Default 0.2. */
  readonly clip?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: reinforcePlusPlus(), tasksPerStep: 64 });
 */
export function reinforcePlusPlus(given: ReinforcePlusPlusSettings = {}): Method {
  const { baseline = "none", klCoefficient = 0.01, clip = 0.2, epochs = 1, minibatches = 1 } = given;
  const { groupSize = baseline === "group" ? 8 : 1 } = given;
  return compose({
    name: "reinforce-plus-plus",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ baseline, divideByDeviation: false }),
    tokenWeights: [...(klCoefficient > 0 ? [klInReward({ coefficient: klCoefficient })] : []), whitened()],
    loss: clipped({ clipLow: clip, clipHigh: clip }),
    epochs,
    minibatches,
  });
}

export const reinforcePlusPlusCard: MethodCard = {
  name: "reinforce-plus-plus",
  title: "REINFORCE++",
  stage: "method",
  line: "no groups and no critic: rewards less a KL cost, normalised over the whole batch, with PPO's clipping",
  use: 'import { reinforcePlusPlus } from "troupe/methods"',
  formula: [
    "A_t = r − β Σ_{u ≥ t} (ℓ_old,u − ℓ_ref,u), whitened over the batch",
    "L = 1/T Σ_t max(−A ρ_t, −A clip(ρ_t, 1 − ε, 1 + ε))",
  ],
  defaults: {
    groupSize: { value: 1, source: "paper" },
    baseline: { value: "none", source: "paper" },
    klCoefficient: { value: 0.01, source: "OpenRLHF" },
    clip: { value: 0.2, source: "PPO" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "Hu (arXiv 2501.03262)",
};
