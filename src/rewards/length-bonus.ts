/**
 * @file Two rewards for length: a bonus for short correct answers, max(0, 1 − tokens / limit), and one for long thoughts,
 * min(1, words / limit).
 * Sources: R³ (arXiv 2601.19620), limit 32,768; the length term of ToolRL's code (arXiv 2504.13958), limit 512 words.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { wrongRewardSetting } from "./setting.ts";
import { reward } from "./terms.ts";
import { outputTokens } from "./usage.ts";

const defaultLimit = 32_768;
const defaultWords = 512;

/** max(0, 1 − length / limit). Default limit 32,768 tokens (paper). */
export function lengthBonus(length: number, limit: number = defaultLimit): number {
  if (!(length >= 0)) throw wrongRewardSetting("A length bonus", "length", length, "at least 0");
  if (!(limit > 0)) throw wrongRewardSetting("A length bonus", "limit", limit, "above 0");
  return Math.max(0, 1 - length / limit);
}

/** {@link lengthBonus} of the output tokens of a correct episode; 0 of a wrong one. */
export function shorterIsBetter<Task = UntypedTask>(
  name: string,
  {
    correct,
    limit = defaultLimit,
    agent,
  }: {
    readonly correct: (episode: FinishedEpisode<NoInfer<Task>>) => boolean;
    readonly limit?: number;
    readonly agent?: string;
  },
): RewardTerm<Task> {
  lengthBonus(0, limit);
  const count = outputTokens(agent);
  const term = reward<Task>(name, (episode) => (correct(episode) ? lengthBonus(count(episode), limit) : 0));
  return agent === undefined ? term : { ...term, needs: { agents: [agent] } };
}

/** ToolRL's length term: min(1, words of the thought / limit). Default 512 words. */
export function thoughtLength(thought: string, limit: number = defaultWords): number {
  if (!(limit > 0)) throw wrongRewardSetting("A thought length", "limit", limit, "above 0");
  const words = thought.split(/\s+/u).filter((word) => word !== "").length;
  return Math.min(1, words / limit);
}

export const lengthBonusCard: MethodCard = {
  name: "length-bonus",
  title: "Length bonus (R³)",
  stage: "reward",
  line: "pays correct answers for being short: 1 at no tokens, 0 from the limit on",
  use: 'import { shorterIsBetter } from "troupe/rewards"',
  formula: ["max(0, 1 − tokens / limit) of a correct answer, 0 of a wrong one"],
  defaults: { limit: { value: defaultLimit, source: "paper" } },
  source: "R³, arXiv 2601.19620",
};
