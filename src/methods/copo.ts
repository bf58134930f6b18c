/**
 * @file COPO: tasks are compared with each other where the answers of a group agree (`advantage/copo.ts`), then
 *
 *   L = w L(A_L) + (1 − w) L(A_G),   L the clipped surrogate
 *
 * with one update a batch, in which it is L of the blended advantage.
 *
 * Source: COPO (arXiv 2508.04138), from notes; what is RECONSTRUCTED and CHOSEN is said in the advantage's file.
 */

import { type CopoAdvantageSettings, copoAdvantage } from "./advantage/copo.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface CopoSettings extends CopoAdvantageSettings {
  /** Episodes per task. Default 6 (COPO). */
  readonly groupSize?: number;
  /** ε_low and ε_high. Default 0.2 (COPO). */
  readonly clip?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: copo({ answer: ({ result }) => String(result).toLowerCase() }) });
 */
export function copo(given: CopoSettings = {}): Method {
  const { groupSize = 6, clip = 0.2, ...advantage } = given;
  return compose({
    name: "copo",
    sampler: fixedGroups(groupSize),
    advantage: copoAdvantage(advantage),
    loss: clipped({ clipLow: clip, clipHigh: clip }),
  });
}

export const copoCard: MethodCard = {
  name: "copo",
  title: "COPO",
  stage: "method",
  line: "GRPO that compares tasks where a group's answers agree, so that such groups teach too",
  use: 'import { copo } from "troupe/methods"',
  formula: [
    "A = w · z within the group + (1 − w) · z of the group's mean over the step's groups",
    "w = σ(γ (H − ρ)), H the entropy of the group's answers",
    "clipped surrogate, one update a batch",
  ],
  defaults: {
    groupSize: { value: 6, source: "paper" },
    clip: { value: 0.2, source: "paper" },
    sharpness: { value: 20, source: "paper (γ)" },
    turn: { value: 1.5, source: "paper (ρ)" },
    logBase: { value: "e", source: "CHOSEN: the paper does not say" },
    ddof: { value: 0, source: "CHOSEN: as printed in GRPO" },
    epsilon: { value: 1e-6, source: "CHOSEN: verl's" },
    answer: { value: "what was returned", source: "CHOSEN: the paper extracts it" },
  },
  source: "COPO (arXiv 2508.04138), notes",
  notes: [
    "RECONSTRUCTED: a task's reward is the mean of its group",
    "CHOSEN: natural logarithm; one blended advantage",
  ],
};
