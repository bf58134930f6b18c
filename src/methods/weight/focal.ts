/**
 * @file Focal weight: groups that are mostly right weigh less, so that rare right answers are not forgotten,
 *
 *   g = (1 − μ̂)^γ,   μ̂ = (R̄ − R_wrong) / (R_right − R_wrong), at least 0 and at most 1
 *
 * R̄ is the mean trajectory-level reward of the group. γ = 0 changes nothing. It touches neither clipping nor baseline, so
 * it composes with both.
 *
 * Source: F-GRPO (arXiv 2602.06717). CHOSEN: rewards beyond right and wrong count as those; episodes of earlier steps say
 * nothing of how often the policy is right now, so they are not in R̄.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { RewardedGroup } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { SequenceWeight } from "../parts.ts";

export interface FocalWeightSettings {
  /** γ ≥ 0. Default 0.5 (F-GRPO; it also ran 1 and 2). */
  readonly gamma?: number;
  /** The reward of a right episode. Default 1. */
  readonly right?: number;
  /** The reward of a wrong episode. Default 0. */
  readonly wrong?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function focalWeight(given: FocalWeightSettings = {}): SequenceWeight {
  const settings: Required<FocalWeightSettings> = { gamma: 0.5, right: 1, wrong: 0, ...given };
  checkNumber("focalWeight", "gamma", settings.gamma, { least: 0 });
  checkNumber("focalWeight", "wrong", settings.wrong);
  if (!(Number.isFinite(settings.right) && settings.right > settings.wrong))
    throw wrongSetting("focalWeight", "right", settings.right, "a finite number above `wrong`");
  return Object.freeze({
    stage: "sequence weight",
    name: "focal",
    settings,
    weights: ({ group, values }) => {
      const weight = focalFactor(group, settings);
      return values.map((row) => new Float64Array(row.length).fill(weight));
    },
  } satisfies SequenceWeight);
}

/** g of a group; 1 where nothing was sampled now. */
export function focalFactor(
  { episodes }: Pick<RewardedGroup, "episodes">,
  { gamma, right, wrong }: Required<FocalWeightSettings>,
): number {
  const sampled = episodes.filter(({ recalled }) => recalled !== true);
  if (sampled.length === 0) return 1;
  const mean = sampled.reduce((sum, { reward }) => sum + reward, 0) / sampled.length;
  return (1 - Math.min(Math.max((mean - wrong) / (right - wrong), 0), 1)) ** gamma;
}

export const focalWeightCard: MethodCard = {
  name: "focal-weight",
  title: "Focal weight",
  stage: "sequence weight",
  line: "groups that are mostly right weigh less: take it where rare right answers get lost",
  use: 'import { focalWeight } from "troupe/methods"',
  formula: ["g = (1 − μ̂)^γ, μ̂ = share of right episodes in the group", "A' = g · A"],
  defaults: {
    gamma: { value: 0.5, source: "paper" },
    right: { value: 1, source: "CHOSEN: rewards of 0 and 1" },
    wrong: { value: 0, source: "CHOSEN: rewards of 0 and 1" },
  },
  source: "F-GRPO (arXiv 2602.06717)",
  notes: ["CHOSEN: recalled episodes are not counted in μ̂"],
};
