/**
 * @file Percentile normalisation: r' = 1 / (1 + e^{−k (x − p50) / (p75 − p25)}), with percentiles of each data set taken once,
 * from what the policy could do before training. The median of every data set becomes 1/2, so that hard and easy ones
 * pull alike.
 * Source: MedGRPO (arXiv 2512.06581). Read through detailed notes. CHOSEN: p75 − p25 is at least 1e-3; percentiles are
 * interpolated linearly; the key is the task's field `dataset`.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { changed, combination } from "./combine.ts";
import { rewardFailure, threw } from "./failures.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";

const defaults = { steepness: 3, smallestRange: 1e-3 } as const;

/** Of one data set's raw rewards before training. */
export interface Percentiles {
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
}

export interface PercentileOptions {
  /** k > 0. Default 3 (paper). */
  readonly steepness?: number;
  /** What p75 − p25 is at least, in the reward's unit. Default 1e-3 (CHOSEN). */
  readonly smallestRange?: number;
}

/**
 * In (0, 1); 1/2 at p50.
 * @throws RewardDefinitionError if percentiles are not in order, or a number is not finite
 */
export function percentileScore(
  value: number,
  { p25, p50, p75 }: Percentiles,
  { steepness = defaults.steepness, smallestRange = defaults.smallestRange }: PercentileOptions = {},
): number {
  checkFinite("A percentile score", "a number", [value, p25, p50, p75]);
  if (!(p25 <= p50 && p50 <= p75))
    throw wrongRewardSetting("A percentile score", "percentiles", [p25, p50, p75], "in ascending order");
  if (!(steepness > 0)) throw wrongRewardSetting("A percentile score", "steepness", steepness, "above 0");
  if (!(smallestRange > 0))
    throw wrongRewardSetting("A percentile score", "smallestRange", smallestRange, "above 0");
  return 1 / (1 + Math.exp((-steepness * (value - p50)) / Math.max(p75 - p25, smallestRange)));
}

/**
 * Of raw rewards, at least one: what is measured once before training. Between two values, interpolated linearly.
 * @throws RewardDefinitionError
 */
export function percentilesOf(values: readonly number[]): Percentiles {
  checkFinite("A percentile", "the value", values);
  if (values.length === 0)
    throw wrongRewardSetting("A percentile", "values", values, "a list of at least one");
  const sorted = [...values].sort((left, right) => left - right);
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const below = sorted[Math.floor(place)]!;
    return below + (place - Math.floor(place)) * (sorted[Math.ceil(place)]! - below);
  };
  return { p25: at(0.25), p50: at(0.5), p75: at(0.75) };
}

export interface PercentileRewardOptions<Task> extends PercentileOptions {
  /** Data set → percentiles of the term's raw values. */
  readonly percentiles: Readonly<Record<string, Percentiles>>;
  /** Which data set an episode is of. Default: the task's field `dataset`. */
  readonly dataset?: (episode: FinishedEpisode<Task>) => string;
  /** Default `percentile(<term>)`. */
  readonly name?: string;
}

/**
 * Each value of the term, at its own place, becomes its score in the data set of its task. An episode of a data set
 * without percentiles fails.
 * @throws RewardDefinitionError
 *
 * @example
 * const reward = percentileReward(f1, { percentiles: { short: { p25: 0.1, p50: 0.3, p75: 0.6 }, long: { p25: 0, p50: 0.1, p75: 0.2 } } });
 */
export function percentileReward<Task = UntypedTask>(
  term: RewardTerm<Task>,
  {
    percentiles,
    dataset = taskDataset,
    name = `percentile(${term.name})`,
    ...options
  }: PercentileRewardOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  for (const known of Object.values(percentiles)) percentileScore(0, known, options);
  return combination({
    name,
    parts: [term],
    combine: ([records], episode) => {
      try {
        const key = dataset(episode);
        const known = Object.hasOwn(percentiles, key) ? percentiles[key] : undefined;
        if (known !== undefined)
          return changed(name, records!, (value) => percentileScore(value, known, options));
        const failure = rewardFailure(name, episode.trajectory, {
          code: "E_REWARD_DATASET",
          says: `has no percentiles of data set ${JSON.stringify(key)}; it has those of ${Object.keys(percentiles).join(", ") || "none"}.`,
          hint: "measure them with `percentilesOf`, or tell the data set with `dataset`.",
        });
        return { failure };
      } catch (error) {
        return { failure: threw(name, episode.trajectory, error) };
      }
    },
  });
}

const taskDataset = ({ task }: FinishedEpisode): string =>
  String((task as { readonly dataset?: unknown } | null)?.dataset ?? "");

export const percentileRewardCard: MethodCard = {
  name: "percentile-reward",
  title: "Percentile normalisation (MedGRPO)",
  stage: "reward",
  line: "rewards of several data sets on one scale: the median before training becomes 1/2 in each",
  use: 'import { percentileReward } from "troupe/rewards"',
  formula: [
    "r' = 1 / (1 + e^{−k (x − p50) / max(p75 − p25, floor)}), percentiles of each data set before training",
  ],
  defaults: {
    steepness: { value: defaults.steepness, source: "paper" },
    smallestRange: { value: defaults.smallestRange, source: "CHOSEN" },
  },
  source: "MedGRPO, arXiv 2512.06581",
  notes: ["CHOSEN: linear interpolation of percentiles."],
};
