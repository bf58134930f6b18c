/**
 * @file MSSR: one episode a task,
 *
 *   A_t = A + min(|A| / κ, α H_t),   A = whitened over the step of (R − v̂ of the task)
 *
 * (`advantage/tracked-baseline.ts`, `weight/entropy-shaping.ts`), then the clipped surrogate.
 *
 * Source: MSSR (arXiv 2512.18215) and the configuration of its code. UNVERIFIED: the clip range, PPO's here. Its
 * choice of tasks by √(v̂ (1 − v̂)), optional there, is `chooseTasks`; without it every task comes once an epoch.
 */

import {
  type TrackedBaselineSettings,
  trackedBaseline,
  trackedBaselineCard,
} from "./advantage/tracked-baseline.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";
import { type EntropyShapingSettings, entropyShaping, entropyShapingCard } from "./weight/entropy-shaping.ts";

export interface MssrSettings extends TrackedBaselineSettings, EntropyShapingSettings {
  /** Episodes per task. Default 1 (MSSR). */
  readonly groupSize?: number;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, tasksPerStep: 64, method: mssr() });
 */
export function mssr(given: MssrSettings = {}): Method {
  const { groupSize = 1, alpha = 0.4, kappa = 2, clipLow = 0.2, clipHigh = 0.2, ...baseline } = given;
  return compose({
    name: "mssr",
    sampler: fixedGroups(groupSize),
    advantage: trackedBaseline(baseline),
    tokenWeights: [entropyShaping({ alpha, kappa })],
    loss: clipped({ clipLow, clipHigh }),
  });
}

export const mssrCard: MethodCard = {
  name: "mssr",
  title: "MSSR",
  stage: "method",
  line: "one episode a task against what is remembered of the task: many tasks for the price of a group",
  use: 'import { mssr } from "troupe/methods"',
  formula: [
    "A = whitened over the step of (R − v̂), v̂ how often the task was solved before",
    "A_t = A + min(|A| / κ, α H_t)",
    "clipped surrogate",
  ],
  defaults: {
    groupSize: { value: 1, source: "paper" },
    ...trackedBaselineCard.defaults,
    ...entropyShapingCard.defaults,
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
  },
  source: "MSSR (arXiv 2512.18215)",
  notes: ["CHOSEN: the rule for η", "UNVERIFIED: the clip range"],
};
