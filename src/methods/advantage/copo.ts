/**
 * @file COPO's advantage: tasks against each other where a group's answers agree, episodes against each other where they
 * differ,
 *
 *   A = w A_L + (1 − w) A_G,   A_L = z of r within the group,   A_G = z of the group's mean R̄ over the step's groups
 *   w = σ(γ (H − ρ)),   H = −Σ_a p_a log p_a over the group's answers
 *
 * so that a group that agrees on one answer, right or wrong, still teaches something.
 *
 * Source: COPO (arXiv 2508.04138), from notes. RECONSTRUCTED: the reward of a task is the mean of its group. CHOSEN: the
 * base of the logarithm, natural (the paper does not say, and ρ = 1.5 makes sense in both), and what an answer is. The
 * paper adds two surrogates, w L(A_L) + (1 − w) L(A_G); L is linear in A of one sign only, so one advantage says the same
 * as the two wherever no ratio is clipped: always with one update a batch, where every ratio is 1.
 */

import type { MethodCard } from "../card.ts";
import { againstGroup } from "../episode-baselines.ts";
import { wrongSetting } from "../errors.ts";
import { normalise } from "../group-advantage.ts";
import type { RewardedEpisode, RewardedGroup } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, JudgedGroup } from "../parts.ts";

export interface CopoAdvantageSettings {
  /** γ, how sharply w turns. Default 20 (COPO). */
  readonly sharpness?: number;
  /** ρ, the entropy at which w is ½. Default 1.5 (COPO). */
  readonly turn?: number;
  /** Of the entropy: nats or bits. Default "e". */
  readonly logBase?: "e" | 2;
  /** Default 0 (GRPO as printed). */
  readonly ddof?: 0 | 1;
  /** Added to both standard deviations. Default 1e-6. */
  readonly epsilon?: number;
  /** Equal texts are equal answers. Default: what the workflow returned, or else what its last call said. */
  readonly answer?: (episode: RewardedEpisode) => string;
}

/** Surrounding space is no part of an answer. */
export function answerOf({ result, calls }: RewardedEpisode): string {
  const said = result === undefined ? (calls.at(-1)?.text ?? "") : result;
  return typeof said === "string" ? said.trim() : JSON.stringify(said);
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function copoAdvantage(given: CopoAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<CopoAdvantageSettings> = {
    sharpness: 20,
    turn: 1.5,
    logBase: "e",
    ddof: 0,
    epsilon: 1e-6,
    answer: answerOf,
    ...given,
  };
  const { sharpness, turn, logBase, ddof, epsilon, answer } = settings;
  checkNumber("copoAdvantage", "sharpness", sharpness, { least: 0 });
  checkNumber("copoAdvantage", "turn", turn);
  checkNumber("copoAdvantage", "epsilon", epsilon, { least: 0 });
  if (logBase !== "e" && logBase !== 2) throw wrongSetting("copoAdvantage", "logBase", logBase, '"e" or 2');
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("copoAdvantage", "ddof", ddof, "0 or 1");
  const normalisation = { ddof, epsilon, divideByDeviation: true };
  const advantages = (groups: readonly JudgedGroup[]) => {
    const told = groups.flatMap((judged, k) => (judged.group.episodes.length === 0 ? [] : [k]));
    const ofTasks = normalise(
      told.map((k) => meanReward(groups[k]!)),
      normalisation,
    );
    const ofTask = new Map(told.map((k, place) => [k, ofTasks[place]!]));
    return groups.map((judged, k) => {
      const local = againstGroup(judged, ddof, (deviation) => 1 / (deviation + epsilon));
      const weight = copoWeight(answerEntropy(judged.group, answer, logBase), settings);
      const whole = ofTask.get(k) ?? 0;
      const rows = local.advantages.map((row) => row.map((value) => weight * value + (1 - weight) * whole));
      return { advantages: rows, hasSignal: rows.some((row) => row.some((value) => value !== 0)) };
    });
  };
  return Object.freeze({
    stage: "advantage",
    name: "copo",
    compares: "episodes",
    gives: "advantages",
    settings: { ...settings, answer: answer === answerOf ? "what was returned" : "a function of the caller" },
    advantages,
  } satisfies AdvantagePart);
}

/** R̄: over one value an episode, the mean of its calls'. */
function meanReward({ group: { episodes }, values }: JudgedGroup): number {
  const worths = episodes.map(({ reward }, i) => {
    const row = values[i]!;
    return row.length === 0 ? reward : row.reduce((sum, value) => sum + value, 0) / row.length;
  });
  return worths.reduce((sum, value) => sum + value, 0) / worths.length;
}

/** H of a group's answers; 0 if they agree. */
export function answerEntropy(
  { episodes }: Pick<RewardedGroup, "episodes">,
  answer: (episode: RewardedEpisode) => string = answerOf,
  logBase: "e" | 2 = "e",
): number {
  const counts = new Map<string, number>();
  for (const episode of episodes) {
    const found = answer(episode);
    counts.set(found, (counts.get(found) ?? 0) + 1);
  }
  let entropy = 0;
  for (const count of counts.values()) {
    const share = count / episodes.length;
    entropy -= share * (logBase === 2 ? Math.log2(share) : Math.log(share));
  }
  return entropy;
}

/** w of an entropy. */
export function copoWeight(
  entropy: number,
  { sharpness, turn }: { readonly sharpness: number; readonly turn: number },
): number {
  return 1 / (1 + Math.exp(-sharpness * (entropy - turn)));
}

export const copoAdvantageCard: MethodCard = {
  name: "copo-advantage",
  title: "COPO advantage",
  stage: "advantage",
  line: "tasks against each other where a group's answers agree: groups without spread teach too",
  use: 'import { copoAdvantage } from "troupe/methods"',
  formula: [
    "A = w A_L + (1 − w) A_G, w = σ(γ (H − ρ)), H the entropy of the group's answers",
    "A_L = z of r within the group, A_G = z of the group's mean over the step's groups",
  ],
  defaults: {
    sharpness: { value: 20, source: "paper (γ)" },
    turn: { value: 1.5, source: "paper (ρ)" },
    logBase: { value: "e", source: "CHOSEN: the paper does not say" },
    ddof: { value: 0, source: "CHOSEN: as printed in GRPO" },
    epsilon: { value: 1e-6, source: "CHOSEN: verl's" },
    answer: { value: "what was returned", source: "CHOSEN: the paper extracts it" },
  },
  source: "COPO (arXiv 2508.04138), notes",
  notes: [
    "RECONSTRUCTED: a task's reward is the mean of its group",
    "CHOSEN: natural logarithm; one advantage for the paper's two surrogates, the same while no ratio is clipped",
  ],
};
