/**
 * @file REINFORCE with the mean of the group as its baseline:
 *
 *   A_c = r_c − mean of the group (baseline: "group"), or r_c itself ("none");   L = −1/N Σ_i Σ_t A_i ℓ_t
 *
 * Source: Williams, "Simple statistical gradient-following algorithms" (1992). With several episodes of a task their mean
 * is the customary baseline; on one episode a task, and no baseline, it is the algorithm as printed.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { policyGradient } from "./loss/policy-gradient.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface ReinforceSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** Default "group". */
  readonly baseline?: "group" | "none";
}

/**
 * @example
 * train({ …, method: reinforce({ groupSize: 8 }) });
 */
export function reinforce({ groupSize = 8, baseline = "group" }: ReinforceSettings = {}): Method {
  return compose({
    name: "reinforce",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ baseline, divideByDeviation: false }),
    loss: policyGradient(),
  });
}

export const reinforceCard: MethodCard = {
  name: "reinforce",
  title: "REINFORCE",
  stage: "method",
  line: "the plain policy gradient with the group's mean as baseline: the simplest thing that learns",
  use: 'import { reinforce } from "troupe/methods"',
  formula: ["A = r − mean of the group", "L = −1/N Σ_i Σ_t A_i ℓ_t"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN: as GRPO's" },
    baseline: { value: "group", source: "CHOSEN: Williams (1992) leaves it open" },
  },
  source: "Williams (1992)",
};
