/**
 * @file GiGPO's advantage: an episode against the other episodes of its task, and a call against the other calls that
 * were asked the same,
 *
 *   A = A_E + ω A_S,   A_E = (R − mean over episodes) / F,   A_S = (G_k − mean over calls in the same state) / F
 *   G_k = Σ_{j ≥ k} γ^{j − k} r_j over the episode's calls in the order of issue,   R = Σ_j r_j
 *
 * F is 1, or std + ε. A state that was met once gives A_S = 0. What a call alone is rewarded with is its r; what the
 * whole episode is rewarded with comes with its last call.
 *
 * Source: GiGPO (arXiv 2505.10978); code: the verl-agent fork in EPO's repository. Where they differ: the code takes mean
 * and std of R over calls, so that long episodes weigh more (`episodes: "calls"`). CHOSEN: states of different agents are
 * different; a state is the exact prompt unless `anchor` says what the environment's state is; what a credit assigner adds
 * to a call's reward counts as the call's own.
 */

import type { MethodCard } from "../card.ts";
import { againstGroup } from "../episode-baselines.ts";
import { wrongSetting } from "../errors.ts";
import { leastDeviation, type Spread, spreadOf } from "../group-advantage.ts";
import type { RewardedCall, RewardedEpisode } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { stepReturns } from "../step-returns.ts";

export interface GigpoAdvantageSettings {
  /** ω, the weight of the step part. Default 1 (GiGPO). */
  readonly stepWeight?: number;
  /** γ from a call to the next. Default 0.95 (GiGPO). */
  readonly gamma?: number;
  /** F: 1, or the standard deviation. Default "mean" (official code). */
  readonly norm?: "mean" | "deviation";
  /** Default 1 (official code); only with `norm: "deviation"`. */
  readonly ddof?: 0 | 1;
  /** Added to the standard deviation. Default 1e-6 (official code). */
  readonly epsilon?: number;
  /** What the mean of R is over: one value an episode, or one a call (official code). Default "episodes" (paper). */
  readonly episodes?: "episodes" | "calls";
  /** Calls with the same text met the same state; undefined: alone. Default: the exact prompt. */
  readonly anchor?: (call: RewardedCall, episode: RewardedEpisode) => string | undefined;
}

const promptOf = ({ state }: RewardedCall) => state;

/** @throws MethodSettingsError E_METHOD_SETTING */
export function gigpoAdvantage(given: GigpoAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<GigpoAdvantageSettings> = {
    stepWeight: 1,
    gamma: 0.95,
    norm: "mean",
    ddof: 1,
    epsilon: 1e-6,
    episodes: "episodes",
    anchor: promptOf,
    ...given,
  };
  const { norm, ddof, episodes, anchor } = settings;
  checkNumber("gigpoAdvantage", "stepWeight", settings.stepWeight, { least: 0 });
  checkNumber("gigpoAdvantage", "gamma", settings.gamma, { least: 0, most: 1 });
  checkNumber("gigpoAdvantage", "epsilon", settings.epsilon, { least: 0 });
  if (norm !== "mean" && norm !== "deviation")
    throw wrongSetting("gigpoAdvantage", "norm", norm, '"mean" or "deviation"');
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("gigpoAdvantage", "ddof", ddof, "0 or 1");
  if (episodes !== "episodes" && episodes !== "calls")
    throw wrongSetting("gigpoAdvantage", "episodes", episodes, '"episodes" or "calls"');
  return Object.freeze({
    stage: "advantage",
    name: "gigpo",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings: { ...settings, anchor: anchor === promptOf ? "the exact prompt" : "a function of the caller" },
    advantages: (groups) => groups.map((judged) => ofGroup(judged, settings)),
  } satisfies AdvantagePart);
}

function ofGroup(judged: JudgedGroup, settings: Required<GigpoAdvantageSettings>): GroupAdvantages {
  const { group } = judged;
  const { norm, ddof, epsilon, gamma, stepWeight, anchor } = settings;
  const scaleOf = (deviation: number) => (norm === "mean" ? 1 : 1 / (deviation + epsilon));
  const scaled = (value: number, { mean, deviation }: Spread) =>
    deviation < leastDeviation ? 0 : (value - mean) * scaleOf(deviation);
  const steps = group.episodes.map((episode, i) => stepReturns(episode, judged.values[i]!, gamma));

  const worths = { ...judged, values: steps.map(({ total }) => total) };
  const baseline = (i: number, j: number) => judged.compared?.[i]?.[j] ?? "";
  const byCall = spreadsBy(worths.values, baseline, ddof);
  const ofEpisodes =
    settings.episodes === "calls"
      ? worths.values.map((row, i) => row.map((value, j) => scaled(value, byCall.get(baseline(i, j))!)))
      : againstGroup(worths, ddof, scaleOf).advantages;

  const states = group.episodes.map((episode, i) =>
    episode.calls.map((call, j) => {
      const state = anchor(call, episode);
      return state === undefined ? `${i} ${j}` : JSON.stringify([call.agent, state]);
    }),
  );
  const returns = steps.map((each) => each.returns);
  const byState = spreadsBy(returns, (i, j) => states[i]![j]!, ddof);
  let hasSignal = false;
  const advantages = returns.map((row, i) =>
    row.map((value, j) => {
      const advantage = ofEpisodes[i]![j]! + stepWeight * scaled(value, byState.get(states[i]![j]!)!);
      if (advantage !== 0) hasSignal = true;
      return advantage;
    }),
  );
  return { advantages, hasSignal };
}

function spreadsBy(
  rows: readonly Float64Array[],
  keyOf: (i: number, j: number) => string,
  ddof: 0 | 1,
): ReadonlyMap<string, Spread> {
  const values = new Map<string, number[]>();
  rows.forEach((row, i) => {
    row.forEach((value, j) => {
      const known = values.get(keyOf(i, j));
      if (known === undefined) values.set(keyOf(i, j), [value]);
      else known.push(value);
    });
  });
  return new Map([...values].map(([key, list]) => [key, spreadOf(list, ddof)]));
}

export const gigpoAdvantageCard: MethodCard = {
  name: "gigpo-advantage",
  title: "GiGPO advantage",
  stage: "advantage",
  line: "episodes against each other, and calls against calls that were asked the same: long tasks without a critic",
  use: 'import { gigpoAdvantage } from "troupe/methods"',
  formula: [
    "A = A_E + ω A_S",
    "A_E = (R − mean over episodes) / F",
    "A_S = (G_k − mean over calls in the same state) / F, G_k = Σ_{j ≥ k} γ^{j − k} r_j",
  ],
  defaults: {
    stepWeight: { value: 1, source: "paper" },
    gamma: { value: 0.95, source: "paper" },
    norm: { value: "mean", source: "official code" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "official code" },
    episodes: { value: "episodes", source: "paper; the official code has calls" },
    anchor: { value: "the exact prompt", source: "CHOSEN: the paper has the environment's observation" },
  },
  source: "GiGPO (arXiv 2505.10978), official code",
  notes: ["CHOSEN: a state is one agent's; what a credit assigner adds is the call's own"],
};
