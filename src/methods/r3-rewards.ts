/**
 * @file The rewards of R³ beside right and wrong, as plain functions: failed responses by how their entropy looks, right
 * ones by their length, and when a task is to be reflected on.
 *
 *   k_i = max(1, ⌊p L_i⌋),   peak_i = mean of the k_i largest entropies,   global_i = mean entropy
 *   i dominates j if peak_i > peak_j and global_i < global_j;   S_i = how many i dominates
 *   by S, best first, the response of rank r of N gets R_max (1 − r / (N − 1)); ties share the mean of their ranks
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: p = 0.2, R_max = 0.5 (below a right answer's reward), τ = 0.5; ties by mean rank, as
 * the order in the batch means nothing; N = 1 gives 0. Rewards are given before an engine knows entropies, so the ranking
 * is not wired into a run; nor is reflection, which needs a task that the sampler makes up.
 */

import { wrongSetting } from "./errors.ts";
import type { RememberedEpisode } from "./method.ts";
import { checkNumber } from "./number-setting.ts";

export interface EntropyRankingSettings {
  /** p, in (0, 1]: the share of a response's tokens that make its peak. Default 0.2. */
  readonly share?: number;
  /** R_max. Default 0.5. */
  readonly most?: number;
  /** Default "mean"; "order": the earlier response first. */
  readonly ties?: "mean" | "order";
}

/**
 * [N] rewards of failed or truncated responses.
 * @param entropies [N][tokens] H of each; at least one token each.
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function entropyRanking(
  entropies: readonly ArrayLike<number>[],
  { share = 0.2, most = 0.5, ties = "mean" }: EntropyRankingSettings = {},
): Float64Array {
  checkNumber("entropyRanking", "share", share, { above: 0, most: 1 });
  checkNumber("entropyRanking", "most", most, { least: 0 });
  if (ties !== "mean" && ties !== "order")
    throw wrongSetting("entropyRanking", "ties", ties, '"mean" or "order"');
  const size = entropies.length;
  const looks = entropies.map((row, i) => {
    if (row.length === 0) throw wrongSetting("entropyRanking", `entropies[${i}]`, [], "at least one number");
    const sorted = Float64Array.from(row).sort().toReversed();
    const peak = meanOf(sorted.subarray(0, Math.max(1, Math.floor(share * sorted.length))));
    return { peak, whole: meanOf(sorted) };
  });
  const dominated = looks.map(
    (one) => looks.filter((other) => one.peak > other.peak && one.whole < other.whole).length,
  );
  return Float64Array.from(dominated, (count, i) => {
    if (size === 1) return 0;
    const better = dominated.filter((other) => other > count).length;
    const alike = dominated.flatMap((other, j) => (other === count ? [j] : []));
    const rank = better + (ties === "mean" ? (alike.length - 1) / 2 : alike.indexOf(i));
    return most * (1 - rank / (size - 1));
  });
}

const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** A right answer's extra reward: max(0, 1 − length / longest). @param length tokens @param longest default 32768 (R³) */
export const brevityBonus = (length: number, longest = 32768): number => Math.max(0, 1 - length / longest);

export interface ReflectionSettings {
  /** τ: tasks whose mean reward is below it are reflected on. Default 0.5. */
  readonly below?: number;
  /** The least reward of a right episode. Default 1. */
  readonly right?: number;
}

/** A wrong episode to reflect on, drawn evenly; undefined if the task is solved often enough, or none is wrong. */
export function toReflectOn(
  remembered: readonly RememberedEpisode[],
  random: { integer(below: number): number },
  { below = 0.5, right = 1 }: ReflectionSettings = {},
): RememberedEpisode | undefined {
  const mean = remembered.reduce((sum, { reward }) => sum + reward, 0) / remembered.length;
  const wrong = remembered.filter(({ reward }) => reward < right);
  return mean < below && wrong.length > 0 ? wrong[random.integer(wrong.length)] : undefined;
}
