/**
 * @file Advantages in units of what a kind of task is remembered to vary by,
 *
 *   A = (r − mean of the group) / σ,   σ² = max(m₂ − m₁², σ_min²),   m ← d m + (1 − d) batch mean, of r and of r²
 *
 * with one m₁ and m₂ a kind of task, updated with the step's own groups before σ is taken; the first step starts them. So
 * a group's difficulty is not divided away, and kinds with rewards of different sizes still weigh the same. A group in
 * which some |A| exceeds the guard is divided by its own deviation instead.
 *
 * Source: EMA-GRPO in OneThinker (arXiv 2512.03043) and its official code. Changed: one memory for the run, where the
 * code has one a process. CHOSEN: one value per episode and baseline; baselines that a credit assigner keeps apart have
 * moments of their own; ε in the fallback alone, as σ has a floor.
 */

import type { MethodCard } from "../card.ts";
import { broadcast } from "../credit/broadcast.ts";
import { baselinesOf } from "../episode-baselines.ts";
import { wrongSetting } from "../errors.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import type { RewardedGroup } from "../method.ts";
import { type Moments, movedMoments, readMoments } from "../moving-moments.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";

export interface EmaAdvantageSettings {
  /** d, in [0, 1). Default 0.99 (OneThinker). */
  readonly decay?: number;
  /** σ_min > 0. Default 1e-3 (OneThinker). */
  readonly leastSigma?: number;
  /** The largest |A| that σ may make. Default 5 (OneThinker). */
  readonly guard?: number;
  /** Added to the group's own deviation. Default 1e-6. */
  readonly epsilon?: number;
  /** Which tasks share moments: those of one `dataset`, or each task alone. Default "dataset" (OneThinker). */
  readonly by?: "dataset" | "task";
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function emaAdvantage(given: EmaAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<EmaAdvantageSettings> = {
    decay: 0.99,
    leastSigma: 1e-3,
    guard: 5,
    epsilon: 1e-6,
    by: "dataset",
    ...given,
  };
  const { decay, leastSigma, guard, by } = settings;
  if (!(decay >= 0 && decay < 1))
    throw wrongSetting("emaAdvantage", "decay", decay, "at least 0 and below 1");
  checkNumber("emaAdvantage", "leastSigma", leastSigma, { above: 0 });
  checkNumber("emaAdvantage", "guard", guard, { above: 0 });
  checkNumber("emaAdvantage", "epsilon", settings.epsilon, { least: 0 });
  if (by !== "dataset" && by !== "task") throw wrongSetting("emaAdvantage", "by", by, '"dataset" or "task"');
  let known: ReadonlyMap<string, Moments> = new Map();
  // What groups were judged by: `observe` learns from the same values, and hears of the groups alone.
  const judgedBy = new WeakMap<RewardedGroup, JudgedGroup>();
  const keyOf = (group: RewardedGroup, baseline: string) =>
    baseline === "" ? group[by] : JSON.stringify([group[by], baseline]);

  const updated = (groups: readonly JudgedGroup[]): ReadonlyMap<string, Moments> => {
    const samples = new Map<string, number[]>();
    for (const judged of groups) {
      for (const [baseline, means] of baselinesOf(judged)) {
        const key = keyOf(judged.group, baseline);
        samples.set(key, [...(samples.get(key) ?? []), ...means.values()]);
      }
    }
    return movedMoments(known, samples, decay);
  };

  const ofGroup = (judged: JudgedGroup, moments: ReadonlyMap<string, Moments>): GroupAdvantages => {
    let hasSignal = false;
    const scales = new Map(
      [...baselinesOf(judged)].map(([baseline, means]) => {
        const values = [...means.values()];
        const { mean, deviation } = spreadOf(values, 0);
        const sigma = sigmaOf(moments.get(keyOf(judged.group, baseline))!, leastSigma);
        const beyond = values.some((value) => Math.abs(value - mean) / sigma > guard);
        const scale = beyond ? deviation + settings.epsilon : sigma;
        return [baseline, { mean, scale: deviation < leastDeviation ? Number.POSITIVE_INFINITY : scale }];
      }),
    );
    const advantages = judged.values.map((row, i) =>
      row.map((value, j) => {
        const { mean, scale } = scales.get(judged.compared?.[i]?.[j] ?? "")!;
        if (scale === Number.POSITIVE_INFINITY) return 0;
        hasSignal = true;
        return (value - mean) / scale;
      }),
    );
    return { advantages, hasSignal };
  };

  return Object.freeze({
    stage: "advantage",
    name: "ema",
    compares: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) => {
      for (const judged of groups) judgedBy.set(judged.group, judged);
      const moments = updated(groups);
      return groups.map((judged) => ofGroup(judged, moments));
    },
    observe: ({ groups }) => {
      known = updated(groups.map((group) => judgedBy.get(group) ?? { group, ...broadcast().assign(group) }));
    },
    metrics: () =>
      // One a kind of task; one a task would be as many as there are tasks.
      by === "task"
        ? {}
        : Object.fromEntries(
            [...known].map(([key, moments]) => [`sigma.${key}`, sigmaOf(moments, leastSigma)]),
          ),
    state: () => Object.fromEntries(known),
    restore: (state) => {
      known = readMoments("emaAdvantage", state);
    },
  } satisfies AdvantagePart);
}

const sigmaOf = ({ mean, meanSquare }: Moments, least: number) =>
  Math.sqrt(Math.max(meanSquare - mean * mean, least * least));

export const emaAdvantageCard: MethodCard = {
  name: "ema-advantage",
  title: "EMA advantage",
  stage: "advantage",
  line: "divides by a remembered deviation of the kind of task: for mixtures whose rewards differ in size",
  use: 'import { emaAdvantage } from "troupe/methods"',
  formula: [
    "A = (r − mean of the group) / σ of its kind of task",
    "σ² = max(m₂ − m₁², σ_min²), m₁ and m₂ moving averages of r and r²",
  ],
  defaults: {
    decay: { value: 0.99, source: "official code" },
    leastSigma: { value: 1e-3, source: "official code" },
    guard: { value: 5, source: "official code" },
    epsilon: { value: 1e-6, source: "CHOSEN: verl's" },
    by: { value: "dataset", source: "official code: problem type" },
  },
  source: "OneThinker (arXiv 2512.03043), official code",
  notes: ["One memory for the run; the official code has one a process"],
};
