/**
 * @file RLOO: REINFORCE with the other episodes of the group as baseline, which keeps the gradient unbiased:
 *
 *   A_i = r_i − 1/(G − 1) Σ_{j ≠ i} r_j = G/(G − 1) (r_i − mean);   L = −1/N Σ_i Σ_t A_i ℓ_t
 *
 * Source: Ahmadian et al., "Back to Basics: Revisiting REINFORCE-Style Optimization" (arXiv 2402.14740), eq. 7, where the
 * KL is in the reward (a run's own choice here); k = 2 or 4 samples there, 8 here (CHOSEN, as GRPO's).
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { policyGradient } from "./loss/policy-gradient.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface RlooSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
}

/**
 * @example
 * train({ …, method: rloo({ groupSize: 4 }) });
 */
export function rloo({ groupSize = 8 }: RlooSettings = {}): Method {
  return compose({
    name: "rloo",
    sampler: fixedGroups<number>(groupSize),
    advantage: groupAdvantage({ baseline: "others" }),
    loss: policyGradient(),
  });
}

export const rlooCard: MethodCard = {
  name: "rloo",
  title: "RLOO",
  stage: "method",
  line: "REINFORCE whose baseline is the mean of the group's other episodes: unbiased, no critic, no std",
  use: 'import { rloo } from "troupe/methods"',
  formula: ["A_i = r_i − 1/(G − 1) Σ_{j ≠ i} r_j", "L = −1/N Σ_i Σ_t A_i ℓ_t"],
  defaults: { groupSize: { value: 8, source: "CHOSEN: as GRPO's; the paper has 2 and 4" } },
  source: "Ahmadian et al. (arXiv 2402.14740)",
};
