/**
 * @file How fast rewards rise, and weights that follow it: w = softmax(−s_j / (T · max_k |s_k|)), s_j the least-squares slope of
 * a term's mean over the last steps. Sources: those of `dynamic-weights.ts`.
 */

import { wrongRewardSetting } from "./setting.ts";

export const learningSpeedDefaults = { temperature: 1, slopes: "relative" } as const;
const smallestSlope = 1e-12;

export interface LearningSpeedOptions {
  /**
   * What a slope is measured by: the largest of the slopes ("relative": weights do not depend on the rewards' unit), or
   * reward a step ("absolute"). Default "relative".
   */
  readonly slopes?: "relative" | "absolute";
  /** T > 0: a term whose slope is T such units above another's weighs 1/e of it. Default 1. */
  readonly temperature?: number;
}

/** Least-squares slope of values that are one step apart; 0 of fewer than two. */
export function slopeOf(values: readonly number[]): number {
  const n = values.length;
  if (n < 2) return 0;
  const middle = (n - 1) / 2;
  let products = 0;
  let squares = 0;
  for (const [i, value] of values.entries()) {
    products += (i - middle) * value;
    squares += (i - middle) ** 2;
  }
  return products / squares;
}

/**
 * Weights that sum to 1, from the means of each term over the last steps. Equal where no slope differs from 0.
 * @param means [terms][steps]
 * @param ceilings [terms] undefined: none
 * @throws RewardDefinitionError if T is not above 0
 */
export function learningSpeedWeights(
  means: readonly (readonly number[])[],
  {
    slopes: unit = learningSpeedDefaults.slopes,
    temperature = learningSpeedDefaults.temperature,
  }: LearningSpeedOptions = {},
  ceilings: readonly (number | undefined)[] = [],
): number[] {
  if (!(temperature > 0)) throw wrongRewardSetting("A weight", "temperature", temperature, "above 0");
  const slopes = means.map(slopeOf);
  const done = means.map((values, j) => {
    const ceiling = ceilings[j];
    const newest = values.at(-1);
    return ceiling !== undefined && newest !== undefined && newest >= ceiling;
  });
  // If everything is at its ceiling, nothing tells the terms apart.
  if (done.every(Boolean)) return means.map(() => 1 / means.length);
  const moving = slopes.filter((_, j) => !done[j]);
  const least = Math.min(...moving);
  const largest = Math.max(...moving.map(Math.abs));
  // The slope of a constant is rounding, and rounding is not learning.
  const scale = temperature * (unit === "absolute" || largest < smallestSlope ? 1 : largest);
  const raw = slopes.map((slope, j) => (done[j] ? 0 : Math.exp(-(slope - least) / scale)));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}
