/**
 * @file Consistent information over paraphrases: a group is the answers to K wordings of one request. H = entropy of an
 * answer's words; help_i = (H_i − H_min) / (H_max − H_min); F_i = 1 − mean_{j≠i} |H_i − H_j| / MAX_GAP; R_i = α help_i + β F_i.
 * Source: information-consistent GRPO (arXiv 2512.12858). Read through notes. RECONSTRUCTED: F_i of each answer; the notes have
 * one F for the whole group, which every group baseline subtracts again (`form: "group"`). CHOSEN: α = β = 0.5, bits,
 * MAX_GAP = H_max − H_min, words are runs of letters and digits in lower case.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { groupReward } from "./terms.ts";

const defaults = { helpfulness: 0.5, stability: 0.5, form: "response" } as const;

export interface ConsistencyOptions {
  /** H_min, in bits. */
  readonly lowest: number;
  /** H_max, in bits, above H_min. */
  readonly highest: number;
  /** MAX_GAP > 0, in bits. Default H_max − H_min (CHOSEN). */
  readonly largestGap?: number;
  /** α. Default 0.5 (CHOSEN). */
  readonly helpfulness?: number;
  /** β. Default 0.5 (CHOSEN). */
  readonly stability?: number;
  /** "response": F_i. "group": the mean over all pairs for all, as in the notes. Default "response". */
  readonly form?: "response" | "group";
}

/** Of the words' frequencies in one text, in bits; 0 of a text without words. */
export function wordEntropy(text: string): number {
  const words =
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  let entropy = 0;
  for (const count of counts.values()) entropy -= (count / words.length) * Math.log2(count / words.length);
  return entropy;
}

/**
 * [K] R. Neither part is clamped: an answer outside [H_min, H_max] has a helpfulness outside [0, 1].
 * @param entropies [K] H; one alone is stable: F = 1 (CHOSEN)
 * @throws RewardDefinitionError
 */
export function informationConsistency(
  entropies: readonly number[],
  {
    lowest,
    highest,
    largestGap = highest - lowest,
    helpfulness = defaults.helpfulness,
    stability = defaults.stability,
    form = defaults.form,
  }: ConsistencyOptions,
): number[] {
  const what = "An information-consistency reward";
  checkFinite(what, "a number", [...entropies, lowest, highest, largestGap, helpfulness, stability]);
  if (!(highest > lowest)) throw wrongRewardSetting(what, "highest", highest, `above the lowest, ${lowest}`);
  if (!(largestGap > 0)) throw wrongRewardSetting(what, "largestGap", largestGap, "above 0");
  const own = entropies.map((entropy, i) => {
    const gaps = entropies.filter((_, j) => j !== i).map((other) => Math.abs(entropy - other) / largestGap);
    return gaps.length === 0 ? 1 : 1 - gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  });
  // Each pair is in two of the means, so their mean is the mean over pairs.
  const whole = own.reduce((sum, one) => sum + one, 0) / own.length;
  return entropies.map(
    (entropy, i) =>
      helpfulness * ((entropy - lowest) / (highest - lowest)) +
      stability * (form === "group" ? whole : own[i]!),
  );
}

/**
 * {@link informationConsistency} over a group whose episodes answer different wordings of one task.
 * @throws RewardDefinitionError
 *
 * @example
 * const steady = informationConsistent("steady", { lowest: 2, highest: 6, text: ({ result }) => String(result) });
 */
export function informationConsistent<Task = UntypedTask>(
  name: string,
  {
    text = ({ result }) => (typeof result === "string" ? result : (JSON.stringify(result) ?? "")),
    ...options
  }: ConsistencyOptions & {
    /** Default: the result, as text or JSON. */
    readonly text?: (episode: FinishedEpisode<NoInfer<Task>>) => string;
  },
): RewardTerm<Task> {
  informationConsistency([], options);
  return groupReward<Task>(name, (group) =>
    informationConsistency(
      group.map((episode) => wordEntropy(text(episode))),
      options,
    ),
  );
}

export const informationConsistencyCard: MethodCard = {
  name: "information-consistency",
  title: "Information-consistent groups",
  stage: "reward",
  line: "pays answers to paraphrases of one request for saying much, and equally much",
  use: 'import { informationConsistent } from "troupe/rewards"',
  formula: [
    "H = entropy of an answer's words, in bits; help_i = (H_i − H_min) / (H_max − H_min)",
    "F_i = 1 − mean_{j≠i} |H_i − H_j| / MAX_GAP",
    "R_i = α help_i + β F_i",
  ],
  defaults: {
    helpfulness: { value: defaults.helpfulness, source: "CHOSEN" },
    stability: { value: defaults.stability, source: "CHOSEN" },
    form: {
      value: defaults.form,
      source: 'RECONSTRUCTED; the notes\' "group" is lost in any group baseline',
    },
  },
  source: "Information-consistent GRPO, arXiv 2512.12858",
  notes: ["CHOSEN: bits; MAX_GAP = H_max − H_min; one answer alone is stable."],
};
