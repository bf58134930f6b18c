/**
 * @file EMA-GRPO: GRPO in units of each kind of task's remembered deviation,
 *
 *   A_i = (R_i − mean R) / σ_kind,   σ_kind from moving averages of R and R² (`advantage/ema.ts`)
 *
 * then the clipped surrogate without KL. A task's kind is its `dataset` field.
 *
 * Source: OneThinker (arXiv 2512.03043) and its official code. UNVERIFIED: the clip range, PPO's here. Its accuracy filter
 * (groups between 1 % and 99 % right) is `sampler: dynamicSampling()`.
 */

import { type EmaAdvantageSettings, emaAdvantage } from "./advantage/ema.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import type { LossKernel, SamplerPart } from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface EmaGrpoSettings extends EmaAdvantageSettings {
  /** Episodes per task. Default 8 (official code). */
  readonly groupSize?: number;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
  /** Instead of `groupSize` episodes of each task. */
  readonly sampler?: SamplerPart;
  /** Instead of the clipped surrogate, and of `clipLow` and `clipHigh`. */
  readonly loss?: LossKernel;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, tasks: [{ dataset: "math", … }, { dataset: "code", … }], method: emaGrpo() });
 */
export function emaGrpo(given: EmaGrpoSettings = {}): Method {
  const { groupSize = 8, clipLow = 0.2, clipHigh = 0.2, sampler, loss, ...advantage } = given;
  return compose({
    name: "ema-grpo",
    sampler: sampler ?? fixedGroups(groupSize),
    advantage: emaAdvantage(advantage),
    loss: loss ?? clipped({ clipLow, clipHigh }),
  });
}

export const emaGrpoCard: MethodCard = {
  name: "ema-grpo",
  title: "EMA-GRPO",
  stage: "method",
  line: "GRPO for mixtures of tasks: each kind's advantages in units of what it is remembered to vary by",
  use: 'import { emaGrpo } from "troupe/methods"',
  formula: ["A = (R − mean) / σ_kind, σ_kind from moving averages of R and R²", "clipped surrogate, no KL"],
  defaults: {
    groupSize: { value: 8, source: "official code" },
    decay: { value: 0.99, source: "official code" },
    leastSigma: { value: 1e-3, source: "official code" },
    guard: { value: 5, source: "official code" },
    epsilon: { value: 1e-6, source: "CHOSEN: verl's" },
    by: { value: "dataset", source: "official code: problem type" },
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
  },
  source: "OneThinker (arXiv 2512.03043), official code",
  notes: ["UNVERIFIED: the clip range"],
};
