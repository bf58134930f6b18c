/**
 * @file DAPO: GRPO with four changes, three of them here:
 *
 *   clip-higher        ρ within [1 − 0.2, 1 + 0.28], so that unlikely tokens can rise
 *   dynamic sampling   groups without spread are replaced by other tasks' (`sampler/dynamic.ts`)
 *   token mean         every token of the batch weighs the same
 *   overlong shaping   a reward: `overlong` of `troupe/rewards`
 *
 *   A_i = (r_i − mean) / std;   L = 1/T Σ_i Σ_t max(−A_i ρ_t, −A_i clip(ρ_t, 1 − ε_low, 1 + ε_high)),  no KL
 *
 * Source: Yu et al., "DAPO: An Open-Source LLM Reinforcement Learning System at Scale" (arXiv 2503.14476), eqs. 8–13.
 * G = 16 there, 8 here (CHOSEN, as elsewhere); 16 updates a batch there, one here.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { dynamicSampling } from "./sampler/dynamic.ts";

export interface DapoSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** ε_low. Default 0.2 (paper). */
  readonly clipLow?: number;
  /** ε_high. Default 0.28 (paper). */
  readonly clipHigh?: number;
  /** Waves of episodes a step while groups without spread are replaced; 1: they are only dropped. Default 10 (recipe). */
  readonly maxWaves?: number;
  /** Default 0, the population's (paper). */
  readonly ddof?: 0 | 1;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1; the paper has 16. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: dapo(), rewards: sum({ correct, overlong: overlong({ … }) }) });
 */
export function dapo(given: DapoSettings = {}): Method {
  const { groupSize = 8, clipLow = 0.2, clipHigh = 0.28, maxWaves = 10 } = given;
  const { ddof = 0, epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "dapo",
    sampler: dynamicSampling({ groupSize, maxWaves }),
    advantage: groupAdvantage({ ddof }),
    loss: clipped({ clipLow, clipHigh }),
    epochs,
    minibatches,
  });
}

export const dapoCard: MethodCard = {
  name: "dapo",
  title: "DAPO",
  stage: "method",
  line: "GRPO with a higher upper clip, token mean and dynamic sampling: no update is spent on groups without spread",
  use: 'import { dapo } from "troupe/methods"',
  formula: [
    "sampled until every group has spread;   A_i = (r_i − mean) / std",
    "L = 1/T Σ_i Σ_t max(−A_i ρ_t, −A_i clip(ρ_t, 1 − ε_low, 1 + ε_high))",
  ],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN; the paper has 16" },
    clipLow: { value: 0.2, source: "paper" },
    clipHigh: { value: 0.28, source: "paper" },
    maxWaves: { value: 10, source: "official recipe" },
    ddof: { value: 0, source: "paper" },
    epochs: { value: 1, source: "paper" },
    minibatches: { value: 1, source: "CHOSEN; the paper has 16" },
  },
  source: "Yu et al. (arXiv 2503.14476)",
  notes: ["overlong shaping is a reward, `overlong` of troupe/rewards"],
};
