/**
 * @file Advantages over a group of new and remembered episodes, applied to both,
 *
 *   A_i = (R_i − mean) / (α std + λ)
 *
 * α > 1 keeps one remembered episode among many alike from having a huge advantage.
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: α = 2 and λ = 1e-6 (not found); one value an episode and baseline; equal values
 * give zeros.
 */

import type { MethodCard } from "../card.ts";
import { againstGroup } from "../episode-baselines.ts";
import { wrongSetting } from "../errors.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart } from "../parts.ts";

export interface MixedGroupAdvantageSettings {
  /** α > 0. Default 2. */
  readonly alpha?: number;
  /** λ. Default 1e-6. */
  readonly lambda?: number;
  /** Default 0. */
  readonly ddof?: 0 | 1;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function mixedGroupAdvantage(given: MixedGroupAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<MixedGroupAdvantageSettings> = { alpha: 2, lambda: 1e-6, ddof: 0, ...given };
  const { alpha, lambda, ddof } = settings;
  checkNumber("mixedGroupAdvantage", "alpha", alpha, { above: 0 });
  checkNumber("mixedGroupAdvantage", "lambda", lambda, { least: 0 });
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("mixedGroupAdvantage", "ddof", ddof, "0 or 1");
  return Object.freeze({
    stage: "advantage",
    name: "mixed-group",
    compares: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) =>
      groups.map((judged) => againstGroup(judged, ddof, (deviation) => 1 / (alpha * deviation + lambda))),
  } satisfies AdvantagePart);
}

export const mixedGroupAdvantageCard: MethodCard = {
  name: "mixed-group-advantage",
  title: "Mixed-group advantage",
  stage: "advantage",
  line: "one baseline for new and remembered episodes, with a wider deviation",
  use: 'import { mixedGroupAdvantage } from "troupe/methods"',
  formula: ["A = (R − mean) / (α std + λ) over new and remembered episodes together"],
  defaults: {
    alpha: { value: 2, source: "CHOSEN: not found" },
    lambda: { value: 1e-6, source: "CHOSEN: not found" },
    ddof: { value: 0, source: "paper" },
  },
  source: "R³ (arXiv 2601.19620)",
};
