/**
 * @file Dr. GRPO: GRPO without the two divisions that bias it, by the std and by each output's length:
 *
 *   A_i = r_i − mean r;   L = 1/(N c) Σ_i Σ_t max(−A_i ρ_t, −A_i clip(ρ_t, 1 − ε, 1 + ε))
 *
 * with a constant c, so that long wrong outputs are not punished less a token than short ones.
 *
 * Source: Liu et al., "Understanding R1-Zero-Like Training" (arXiv 2503.20783), §3.2. c is the generation budget there;
 * by default here the longest output that `longest` names (CHOSEN: 1,024), since a method does not see the agents' limits.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { wrongSetting } from "./errors.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface DrGrpoSettings {
  /** Episodes per task. Default 8 (paper). */
  readonly groupSize?: number;
  /** c: tokens that an output may have. It scales the loss only. Default 1024. */
  readonly longest?: number;
  /** ε, both sides. Default 0.2 (paper). */
  readonly clip?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: drGrpo({ longest: 32 }) });
 */
export function drGrpo(given: DrGrpoSettings = {}): Method {
  const { groupSize = 8, longest = 1024, clip = 0.2, epochs = 1, minibatches = 1 } = given;
  if (!(longest > 0 && Number.isFinite(longest)))
    throw wrongSetting("drGrpo", "longest", longest, "a finite number above 0");
  return compose({
    name: "dr-grpo",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ divideByDeviation: false }),
    loss: clipped({ clipLow: clip, clipHigh: clip, aggregation: { constant: longest } }),
    epochs,
    minibatches,
  });
}

export const drGrpoCard: MethodCard = {
  name: "dr-grpo",
  title: "Dr. GRPO",
  stage: "method",
  line: "GRPO without dividing by std and length: no bias towards long wrong outputs and easy tasks",
  use: 'import { drGrpo } from "troupe/methods"',
  formula: ["A_i = r_i − mean r", "L = 1/(N c) Σ_i Σ_t max(−A_i ρ_t, −A_i clip(ρ_t, 1 − ε, 1 + ε))"],
  defaults: {
    groupSize: { value: 8, source: "paper" },
    longest: { value: 1024, source: "CHOSEN: the paper takes the generation budget" },
    clip: { value: 0.2, source: "paper" },
    epochs: { value: 1, source: "paper" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "Liu et al. (arXiv 2503.20783)",
};
