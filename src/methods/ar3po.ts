/**
 * @file AR3PO: GRPO that samples more of what is unsolved, and reuses what was once solved,
 *
 *   A_i = (R_i − mean R) / (std R + ε) over a group of varying size, one remembered right episode included
 *
 * (`sampler/adaptive.ts`), then the clipped surrogate without KL. The remembered episode is not trained on (option II,
 * the paper's best); option I trains on it, its ℓ_old computed anew, so that its ratio begins at 1.
 *
 * Source: AR3PO (arXiv 2509.25808). UNVERIFIED: the clip range, PPO's here, and the std, the population's as printed.
 */

import { groupAdvantage } from "./advantage/group.ts";
import { withoutRecalled } from "./advantage/without-recalled.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { wrongSetting } from "./errors.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import type { LossKernel } from "./parts.ts";
import { type AdaptiveSettings, adaptive } from "./sampler/adaptive.ts";

export interface Ar3poSettings extends AdaptiveSettings {
  /** What becomes of a remembered episode. Default "compare" (the paper's option II); "train" is option I. */
  readonly recalled?: "compare" | "train";
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
  /** Default 0. */
  readonly ddof?: 0 | 1;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
  /** Instead of the clipped surrogate, and of `clipLow` and `clipHigh`. */
  readonly loss?: LossKernel;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: ar3po({ perStage: 4, stages: 2 }) });
 */
export function ar3po(given: Ar3poSettings = {}): Method {
  const {
    recalled = "compare",
    clipLow = 0.2,
    clipHigh = 0.2,
    ddof = 0,
    epsilon = 1e-6,
    loss,
    ...sampling
  } = given;
  if (recalled !== "compare" && recalled !== "train")
    throw wrongSetting("ar3po", "recalled", recalled, '"compare" or "train"');
  const advantage = groupAdvantage({ ddof, epsilon });
  return compose({
    name: "ar3po",
    sampler: adaptive(sampling),
    advantage: recalled === "compare" ? withoutRecalled(advantage) : advantage,
    loss: loss ?? clipped({ clipLow, clipHigh }),
  });
}

export const ar3poCard: MethodCard = {
  name: "ar3po",
  title: "AR3PO",
  stage: "method",
  line: "GRPO that samples unsolved tasks more and easy ones less, and recalls right episodes",
  use: 'import { ar3po } from "troupe/methods"',
  formula: [
    "k episodes, k more of what is unsolved, up to S times; then one remembered right episode",
    "A = (R − mean) / (std + ε); the remembered episode is compared with, not trained on",
    "clipped surrogate, no KL",
  ],
  defaults: {
    perStage: { value: 4, source: "inferred from the paper's averages" },
    stages: { value: 2, source: "inferred from the paper's averages" },
    remembered: { value: 4, source: "CHOSEN: the paper does not say" },
    isCorrect: { value: "reward of at least 1", source: "CHOSEN: the paper's rewards are 0 and 1" },
    recalled: { value: "compare", source: "paper: option II, its best" },
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
    ddof: { value: 0, source: "CHOSEN: as printed in GRPO; verl computes 1" },
    epsilon: { value: 1e-6, source: "verl" },
  },
  source: "AR3PO (arXiv 2509.25808)",
  notes: ["UNVERIFIED: the clip range and ddof", "CHOSEN: capacity of the memory; what counts as right"],
};
