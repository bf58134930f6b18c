/**
 * @file Which episodes are imitated: weight 1 for the calls of those that are good enough, and all others left out.
 *
 *   keep "right"  those worth at least `threshold`          (rejection sampling, STaR, RFT)
 *   keep "best"   the best of each group, if it is better than another; ties: the first      (best of n, RAFT)
 *   keep "all"    every episode                              (supervised fine-tuning on what was sampled)
 *
 * Source: Yuan et al., RFT (arXiv 2308.01825); Dong et al., RAFT (2304.06767); Zelikman et al., STaR (2203.14465).
 */

import type { MethodCard } from "../card.ts";
import { type EpisodeValue, episodeValue } from "../episode-value.ts";
import { wrongSetting } from "../errors.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart } from "../parts.ts";

export interface BestOnlySettings {
  /** Default "right". */
  readonly keep?: "right" | "best" | "all";
  /** For "right". Default 1. */
  readonly threshold?: number;
  /** What an episode is worth. Default: the mean of its calls' rewards. */
  readonly value?: EpisodeValue;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function bestOnly(given: BestOnlySettings = {}): AdvantagePart & {
  readonly compares: "steps";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const { keep = "right", threshold = 1, value = episodeValue } = given;
  if (!["right", "best", "all"].includes(keep))
    throw wrongSetting("bestOnly", "keep", keep, '"right", "best" or "all"');
  checkNumber("bestOnly", "threshold", threshold);
  return Object.freeze({
    stage: "advantage",
    name: "best-only",
    compares: "steps",
    judges: "episodes",
    gives: "advantages",
    settings: { keep, threshold },
    advantages: (groups) =>
      groups.map(({ group: { episodes } }) => {
        const values = episodes.map(value);
        const best = values.indexOf(Math.max(...values));
        const differ = spreadOf(values, 0).deviation > leastDeviation;
        const kept = values.map((worth, i) =>
          keep === "all" ? true : keep === "right" ? worth >= threshold : differ && i === best,
        );
        return {
          advantages: episodes.map(({ calls }, i) =>
            new Float64Array(calls.length).fill(kept[i] === true ? 1 : 0),
          ),
          trained: episodes.map(({ calls }, i) =>
            new Uint8Array(calls.length).fill(kept[i] === true ? 1 : 0),
          ),
          hasSignal: episodes.some(({ calls }, i) => kept[i] === true && calls.length > 0),
        };
      }),
  } satisfies AdvantagePart);
}

export const bestOnlyCard: MethodCard = {
  name: "best-only",
  title: "Best only",
  stage: "advantage",
  line: "weight 1 for the episodes worth imitating, all others left out",
  use: 'import { bestOnly } from "troupe/methods"',
  formula: ['a = 1 for episodes worth ≥ threshold ("right"), the best of a group ("best"), or all'],
  defaults: {
    keep: { value: "right", source: "RFT" },
    threshold: { value: 1, source: "CHOSEN: a reward of 1 is right everywhere here" },
  },
  source: "RFT (arXiv 2308.01825); RAFT (2304.06767); STaR (2203.14465)",
};
