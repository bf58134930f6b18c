/**
 * @file Public goods: contributors in a row pay for their effort, gain by building on those before them, share the final
 * score, and are all punished if it misses a bar,
 *
 *   r_i = −κ(c_i) + γ c_i · mean_{j<i} c_j + (ρ/n) S − P · 1[S < B],   κ(c) = k c²
 *
 * c_i is how good contribution i is by itself (a reward term of the call), S the final score (the trajectory's reward), n
 * the contributors of the episode. The first contributor has no synergy. Baselines apart by agent (CHOSEN).
 *
 * Source: MAC-SPGG (arXiv 2508.02076). The shape is RECONSTRUCTED and every constant CHOSEN (none was published); the
 * equilibrium theorem needs more than this reward and is not claimed.
 */

import type { MethodCard } from "../card.ts";
import { LossError } from "../errors.ts";
import type { RewardedCall, RewardedEpisode } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { CreditAssigner } from "../parts.ts";

export interface PublicGoodsSettings {
  /** k of κ(c) = k c². Default 0.1. */
  readonly cost?: number;
  /** γ. Default 0.5. */
  readonly synergy?: number;
  /** ρ. Default 1.5 (the spec's example). */
  readonly share?: number;
  /** P. Default 0.5. */
  readonly penalty?: number;
  /** B. Default 0.5. */
  readonly bar?: number;
  /** c_i. Default: the call's reward term "contribution". */
  readonly contribution?: (call: RewardedCall, episode: RewardedEpisode) => number;
}

/** @throws MethodSettingsError E_METHOD_SETTING; `assign` LossError E_CONTRIBUTION for a call without one. */
export function publicGoods(given: PublicGoodsSettings = {}): CreditAssigner & { readonly wants?: never } {
  const { cost = 0.1, synergy = 0.5, share = 1.5, penalty = 0.5, bar = 0.5 } = given;
  for (const [name, value] of Object.entries({ cost, synergy, share, penalty }))
    checkNumber("publicGoods", name, value, { least: 0 });
  checkNumber("publicGoods", "bar", bar);
  const { contribution = ({ terms }: RewardedCall) => terms?.contribution ?? Number.NaN } = given;
  return Object.freeze({
    stage: "credit",
    name: "public-goods",
    settings: { cost, synergy, share, penalty, bar },
    assign: ({ episodes }) => ({
      values: episodes.map((episode) => {
        const { calls, reward } = episode;
        const efforts = calls.map((call) => checked(contribution(call, episode), call, episode));
        let before = 0;
        return Float64Array.from(efforts, (effort, i) => {
          const mean = i === 0 ? 0 : before / i;
          before += effort;
          const common = (share / calls.length) * reward - (reward < bar ? penalty : 0);
          return -cost * effort ** 2 + synergy * effort * mean + common;
        });
      }),
      compared: episodes.map(({ calls }) => calls.map(({ agent }) => agent)),
    }),
  } satisfies CreditAssigner);
}

function checked(value: number, { agent, id }: RewardedCall, episode: RewardedEpisode): number {
  if (Number.isFinite(value)) return value;
  throw new LossError({
    code: "E_CONTRIBUTION",
    message: `Call ${id ?? "?"} (agent "${agent}") of episode ${episode.id ?? "?"} has the contribution ${value}.`,
    hint: 'reward each call with a term named "contribution", or pass `contribution`.',
    facts: { agent },
  });
}

export const publicGoodsCard: MethodCard = {
  name: "public-goods",
  title: "Public goods (MAC-SPGG)",
  stage: "credit",
  line: "contributors in a row pay for effort, gain by building on others, and share success and failure",
  use: 'import { publicGoods } from "troupe/methods"',
  formula: ["r_i = −k c_i² + γ c_i · mean_{j<i} c_j + (ρ/n) S − P · 1[S < B]"],
  defaults: {
    cost: { value: 0.1, source: "CHOSEN" },
    synergy: { value: 0.5, source: "CHOSEN" },
    share: { value: 1.5, source: "CHOSEN: the worked example" },
    penalty: { value: 0.5, source: "CHOSEN" },
    bar: { value: 0.5, source: "CHOSEN" },
  },
  source: "MAC-SPGG (arXiv 2508.02076)",
  notes: ["RECONSTRUCTED: the shape", "CHOSEN: every constant; the equilibrium theorem is not claimed"],
};
