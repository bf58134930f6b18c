/**
 * @file R³: a group that is all wrong or all right is compared with remembered episodes of the other kind,
 *
 *   A_i = (R_i − mean) / (α std + λ) over new and remembered episodes alike
 *
 * (`sampler/replay.ts`, `advantage/mixed-group.ts`), then the clipped surrogate. Remembered episodes are trained on, their
 * ℓ_old computed anew under the weights before the update.
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: ℓ_old of remembered episodes (the paper does not say), k, α and λ. UNVERIFIED: the
 * clip range, PPO's here. Its ranking reward and its bonus for brevity are rewards (`troupe/rewards`); its reflection is
 * `reflectBelow`, for runs that say how an answer is shown again (`reflect`).
 */

import { mixedGroupAdvantage, mixedGroupAdvantageCard } from "./advantage/mixed-group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { type ReplaySettings, replay, replayCard } from "./sampler/replay.ts";

export interface R3Settings extends ReplaySettings {
  /** α > 0. Default 2. */
  readonly alpha?: number;
  /** λ. Default 1e-6. */
  readonly lambda?: number;
  /** Default 0. */
  readonly ddof?: 0 | 1;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: r3({ count: 2 }) });
 */
export function r3(given: R3Settings = {}): Method {
  const { alpha = 2, lambda = 1e-6, ddof = 0, clipLow = 0.2, clipHigh = 0.2, ...sampling } = given;
  return compose({
    name: "r3",
    sampler: replay(sampling),
    advantage: mixedGroupAdvantage({ alpha, lambda, ddof }),
    loss: clipped({ clipLow, clipHigh }),
  });
}

export const r3Card: MethodCard = {
  name: "r3",
  title: "R³",
  stage: "method",
  line: "GRPO whose groups without spread recall episodes of the other kind: nothing sampled is lost",
  use: 'import { r3 } from "troupe/methods"',
  formula: [
    "all of a group the same: + k remembered episodes of the other kind",
    "A = (R − mean) / (α std + λ) over both; clipped surrogate",
  ],
  defaults: {
    ...replayCard.defaults,
    ...mixedGroupAdvantageCard.defaults,
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
  },
  source: "R³ (arXiv 2601.19620)",
  notes: [
    "CHOSEN: ℓ_old of remembered episodes is computed anew",
    "CHOSEN: reflection is off unless asked for",
  ],
};
