/**
 * @file Semi-online RL over recorded episodes: the workflow replays a record and patches what the policy does wrong,
 *
 *   A = w_E z(R over episodes) + w_S z(G_t over the episodes' steps t)      (`advantage/semi-online.ts`)
 *
 * tasks are kept only if the std (ddof 0) of G_0 over their group is above 0.3, others take their place; then the clipped
 * surrogate with a small KL (k3). What was patched in is no call, so it is never trained.
 *
 * Source: UI-S1 (arXiv 2509.11543) and its official code. UNVERIFIED: the clip range, PPO's here. Its step reward is
 * `stepRewards` of `troupe/rewards`.
 */

import { type SemiOnlineAdvantageSettings, semiOnlineAdvantage } from "./advantage/semi-online.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { checkNumber } from "./number-setting.ts";
import { firstReturn } from "./patched-returns.ts";
import { klPenalty } from "./regulariser/kl.ts";
import { dynamicSampling } from "./sampler/dynamic.ts";

export interface SemiOnlineSettings extends SemiOnlineAdvantageSettings {
  /** Episodes per task. Default 8 (UI-S1). */
  readonly groupSize?: number;
  /** Tasks with a smaller deviation of G_0 give way to others. Default 0.3 (UI-S1). */
  readonly leastSpread?: number;
  /** Waves of episodes a step. Default 10. */
  readonly maxWaves?: number;
  /** β. Default 1e-4 (UI-S1); 0: no reference is kept. */
  readonly klCoefficient?: number;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: semiOnline({ matched: ({ terms }) => terms?.exact === 1 }) });
 */
export function semiOnline(given: SemiOnlineSettings = {}): Method {
  const { groupSize = 8, leastSpread = 0.3, maxWaves = 10, klCoefficient = 1e-4, ...rest } = given;
  const { clipLow = 0.2, clipHigh = 0.2, ...advantage } = rest;
  checkNumber("semiOnline", "klCoefficient", klCoefficient, { least: 0 });
  return compose({
    name: "semi-online",
    sampler: dynamicSampling({
      groupSize,
      maxWaves,
      leastSpread,
      value: (episode) => firstReturn(episode, advantage),
    }),
    advantage: semiOnlineAdvantage(advantage),
    loss: clipped({ clipLow, clipHigh }),
    regularisers: klCoefficient === 0 ? [] : [klPenalty({ coefficient: klCoefficient })],
  });
}

export const semiOnlineCard: MethodCard = {
  name: "semi-online",
  title: "Semi-online RL",
  stage: "method",
  line: "training along recorded episodes whose wrong steps are patched: many steps without an environment",
  use: 'import { semiOnline } from "troupe/methods"',
  formula: [
    "A = w_E z(R over episodes) + w_S z(G_t over the episodes' steps t); G ends before a step that did not match",
    "tasks with std of G_0 up to 0.3 give way to others; clipped surrogate + β k3",
  ],
  defaults: {
    groupSize: { value: 8, source: "official code" },
    leastSpread: { value: 0.3, source: "official code" },
    maxWaves: { value: 10, source: "CHOSEN: as DAPO's recipe" },
    gamma: { value: 0.5, source: "official code" },
    episodeWeight: { value: 1, source: "official code" },
    stepWeight: { value: 1, source: "official code" },
    divideByDeviation: { value: true, source: "official code" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "official code" },
    episodes: { value: "episodes", source: "paper; the official code has steps" },
    matched: { value: "own reward of at least 1", source: "CHOSEN: an exact action is worth 1" },
    klCoefficient: { value: 1e-4, source: "official code" },
    clipLow: { value: 0.2, source: "CHOSEN: PPO's" },
    clipHigh: { value: 0.2, source: "CHOSEN: PPO's" },
  },
  source: "UI-S1 (arXiv 2509.11543), official code",
  notes: [
    "UNVERIFIED: the clip range",
    "CHOSEN: a step is an agent's how-manieth call; R is the sum of step rewards",
  ],
};
