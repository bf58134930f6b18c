/**
 * @file Advantages along recorded episodes: an episode against the others of its task, and a step against the same step of
 * the others,
 *
 *   A = w_E z(R over episodes) + w_S z(G_t over the episodes' steps t),   R = Σ r_t
 *
 * G_t ends before a step that did not match the record (`patched-returns.ts`). A step that only one episode has gives 0.
 *
 * Source: UI-S1, semi-online RL (arXiv 2509.11543) and its official code. Where they differ: the code normalises each
 * step's own reward over all steps of the task in the place of R (`episodes: "steps"`). CHOSEN: a step is an agent's
 * how-manieth call; its reward is what the call alone was rewarded with, and it matched if that is at least 1.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import { leastDeviation, type Spread, spreadOf } from "../group-advantage.ts";
import type { RewardedCall } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { episodeReturns, isExact, ownReward } from "../patched-returns.ts";

export interface SemiOnlineAdvantageSettings {
  /** γ from a step to the next. Default 0.5 (UI-S1). */
  readonly gamma?: number;
  /** w_E. Default 1 (UI-S1). */
  readonly episodeWeight?: number;
  /** w_S. Default 1 (UI-S1). */
  readonly stepWeight?: number;
  /** Whether z divides by the standard deviation. Default true (UI-S1). */
  readonly divideByDeviation?: boolean;
  /** Default 1 (official code). */
  readonly ddof?: 0 | 1;
  /** Added to the standard deviation. Default 1e-6 (official code). */
  readonly epsilon?: number;
  /** Default "episodes" (paper); "steps": the official code. */
  readonly episodes?: "episodes" | "steps";
  /** Whether the call did what was recorded. Default: its own reward is at least 1. */
  readonly matched?: (call: RewardedCall) => boolean;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function semiOnlineAdvantage(given: SemiOnlineAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<SemiOnlineAdvantageSettings> = {
    gamma: 0.5,
    episodeWeight: 1,
    stepWeight: 1,
    divideByDeviation: true,
    ddof: 1,
    epsilon: 1e-6,
    episodes: "episodes",
    matched: isExact,
    ...given,
  };
  const { ddof, episodes, matched } = settings;
  checkNumber("semiOnlineAdvantage", "gamma", settings.gamma, { least: 0, most: 1 });
  for (const name of ["episodeWeight", "stepWeight", "epsilon"] as const)
    checkNumber("semiOnlineAdvantage", name, settings[name], { least: 0 });
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("semiOnlineAdvantage", "ddof", ddof, "0 or 1");
  if (episodes !== "episodes" && episodes !== "steps")
    throw wrongSetting("semiOnlineAdvantage", "episodes", episodes, '"episodes" or "steps"');
  return Object.freeze({
    stage: "advantage",
    name: "semi-online",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings: {
      ...settings,
      matched: matched === isExact ? "own reward of at least 1" : "a function of the caller",
    },
    advantages: (groups) => groups.map((judged) => ofGroup(judged, settings)),
  } satisfies AdvantagePart);
}

function ofGroup(
  { group, values }: JudgedGroup,
  settings: Required<SemiOnlineAdvantageSettings>,
): GroupAdvantages {
  const { ddof, epsilon, divideByDeviation, episodeWeight, stepWeight, gamma, matched } = settings;
  const z = (value: number, { mean, deviation }: Spread) =>
    deviation < leastDeviation ? 0 : (value - mean) / (divideByDeviation ? deviation + epsilon : 1);
  const rewards = group.episodes.map(({ calls }, i) =>
    Float64Array.from(calls, (call, j) => ownReward(call) + values[i]![j]! - call.reward),
  );
  const returns = group.episodes.map((episode, i) => episodeReturns(episode, rewards[i]!, gamma, matched));
  const steps = group.episodes.map(({ calls }) =>
    calls.map(({ agent, scope = "", occurrence }, j) => JSON.stringify([scope, agent, occurrence ?? j])),
  );
  const atStep = new Map<string, number[]>();
  returns.forEach((row, i) => {
    row.forEach((value, j) => {
      const step = steps[i]![j]!;
      atStep.set(step, [...(atStep.get(step) ?? []), value]);
    });
  });
  const ofSteps = new Map([...atStep].map(([step, list]) => [step, spreadOf(list, ddof)]));
  const sums = rewards.map((row) => row.reduce((sum, value) => sum + value, 0));
  const ofEpisodes = spreadOf(
    settings.episodes === "steps" ? rewards.flatMap((row) => [...row]) : sums,
    ddof,
  );
  const advantages = returns.map((row, i) =>
    row.map((value, j) => {
      const worth = settings.episodes === "steps" ? rewards[i]![j]! : sums[i]!;
      return episodeWeight * z(worth, ofEpisodes) + stepWeight * z(value, ofSteps.get(steps[i]![j]!)!);
    }),
  );
  return { advantages, hasSignal: advantages.some((row) => row.some((value) => value !== 0)) };
}

export const semiOnlineAdvantageCard: MethodCard = {
  name: "semi-online-advantage",
  title: "Semi-online advantage",
  stage: "advantage",
  line: "episodes along a recorded one: each step against the same step of the others, nothing across a patch",
  use: 'import { semiOnlineAdvantage } from "troupe/methods"',
  formula: [
    "G_t = r_t + γ G_{t+1} if steps t and t + 1 matched the record, else r_t",
    "A = w_E z(Σ r over episodes) + w_S z(G_t over the episodes' steps t)",
  ],
  defaults: {
    gamma: { value: 0.5, source: "official code" },
    episodeWeight: { value: 1, source: "official code" },
    stepWeight: { value: 1, source: "official code" },
    divideByDeviation: { value: true, source: "official code" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "official code" },
    episodes: { value: "episodes", source: "paper; the official code has steps" },
    matched: { value: "own reward of at least 1", source: "CHOSEN: an exact action is worth 1" },
  },
  source: "UI-S1 (arXiv 2509.11543), official code",
  notes: ["CHOSEN: a step is an agent's how-manieth call; R is the sum of step rewards"],
};
