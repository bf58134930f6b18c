/**
 * @file G²RPO: rewards by their ranks,
 *
 *   A = Φ⁻¹ of the rank over the kind of task, of Φ⁻¹ of the rank within the group      (`advantage/g2rpo.ts`)
 *
 * then the clipped surrogate without KL. Its entropy shaping is `regularisers: [entropyHinge()]`, off as in the released
 * configuration; its envelope on lengths is a reward.
 *
 * Source: OpenVLThinkerV2 (arXiv 2604.08539) and its official code. UNVERIFIED: the clip range, PPO's here.
 */

import { type G2rpoAdvantageSettings, g2rpoAdvantage } from "./advantage/g2rpo.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import type { Regulariser } from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface G2rpoSettings extends G2rpoAdvantageSettings {
  /** Episodes per task. Default 8 (official code). */
  readonly groupSize?: number;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
  /** Default: none (official code: entropy shaping is off). */
  readonly regularisers?: readonly Regulariser[];
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: g2rpo({ regularisers: [entropyHinge()] }) });
 */
export function g2rpo(given: G2rpoSettings = {}): Method {
  const { groupSize = 8, clipLow = 0.2, clipHigh = 0.2, regularisers = [], ...advantage } = given;
  return compose({
    name: "g2rpo",
    sampler: fixedGroups(groupSize),
    advantage: g2rpoAdvantage(advantage),
    loss: clipped({ clipLow, clipHigh }),
    regularisers,
  });
}

export const g2rpoCard: MethodCard = {
  name: "g2rpo",
  title: "G²RPO",
  stage: "method",
  line: "GRPO by ranks: every kind of task gives normally distributed advantages, whatever its rewards",
  use: 'import { g2rpo } from "troupe/methods"',
  formula: [
    "A = Φ⁻¹ of the rank over the kind of task, of Φ⁻¹ of the rank within the group",
    "clipped surrogate, no KL; entropy shaping as an option",
  ],
  defaults: {
    groupSize: { value: 8, source: "official code" },
    filter: { value: true, source: "official code: its accuracy filter" },
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
  },
  source: "OpenVLThinkerV2 (arXiv 2604.08539), official code",
  notes: ["UNVERIFIED: the clip range", "CHOSEN: one value an episode and baseline"],
};
