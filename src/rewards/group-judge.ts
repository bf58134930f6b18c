/**
 * @file Training a judge that sees a whole group (GRRM): its output is a line that ranks all candidates and integer scores from 0
 * to 10. Reward 0 unless the form is right and the scores imply the ranking; else rank + margin in [0, 2]:
 * rank = share of pairs whose order (>, <, =) is that of the reference, margin = mean over pairs of {0 → 1, 1 → 0.6, 2 → 0.2,
 * else 0} of |Δ_ref − Δ|, Δ the difference of a pair's scores.
 * Source: GRRM (arXiv 2602.14028) and its code. CHOSEN: the words of the two lines; at least two candidates.
 * The judge in use is `relativeJudge` with `parse: readScoredRanking` and `scores: "value"`, which shuffles candidates (CHOSEN).
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { resultText } from "./result-text.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { readScoredRanking } from "./scored-ranking.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { perEpisode } from "./terms.ts";

/** By |Δ_ref − Δ|; 0 beyond. */
const margins: readonly number[] = [1, 0.6, 0.2];

/**
 * In [0, 2].
 * @param scores [N ≥ 2] the judge's; undefined: its output had not the right form, which is worth 0
 * @param reference [N]
 * @throws RewardDefinitionError if lengths differ, or there is nothing to compare
 */
export function groupJudgeReward(
  scores: readonly number[] | undefined,
  reference: readonly number[],
): number {
  checkFinite("A group judge's reward", "a score", [...(scores ?? []), ...reference]);
  if (reference.length < 2)
    throw wrongRewardSetting(
      "A group judge's reward",
      "reference",
      reference,
      "a list of at least two scores",
    );
  if (scores === undefined) return 0;
  if (scores.length !== reference.length)
    throw wrongRewardSetting(
      "A group judge's reward",
      "scores",
      scores,
      `${reference.length} scores, as the reference`,
    );
  let total = 0;
  for (const [i, wanted] of reference.entries()) {
    for (let j = 0; j < i; j++) {
      const [apart, told] = [wanted - reference[j]!, scores[i]! - scores[j]!];
      total += Math.sign(apart) === Math.sign(told) ? 1 : 0;
      total += margins[Math.abs(apart - told)] ?? 0;
    }
  }
  return total / ((reference.length * (reference.length - 1)) / 2);
}

export interface JudgeTrainingOptions<Task> {
  /** [N ≥ 2] the scores that the judge should have given, in the order of the labels that it saw. */
  readonly reference: (episode: FinishedEpisode<Task>) => readonly number[];
  /** [N] Default: "1", "2", … */
  readonly labels?: (episode: FinishedEpisode<Task>) => readonly string[];
  /** The judge's output. Default: the result, if it is a text. */
  readonly text?: (episode: FinishedEpisode<Task>) => string;
  /** Whose calls are rewarded. Default: the whole trajectory. */
  readonly agent?: string;
  /** Default {@link readScoredRanking}. What it throws for is worth 0: the form is what is being taught. */
  readonly parse?: (text: string, labels: readonly string[]) => readonly number[];
}

/**
 * {@link groupJudgeReward} of an episode in which an agent judges a group. `<name>.legal` in the logs is 1 where the output
 * could be read.
 *
 * @example
 * const reward = judgeTraining<Judging>("agrees", { agent: "judge", reference: ({ task }) => task.scores });
 */
export function judgeTraining<Task = UntypedTask>(
  name: string,
  {
    reference,
    labels,
    text = resultText,
    agent,
    parse = readScoredRanking,
  }: JudgeTrainingOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  const place = agent === undefined ? {} : { agent };
  const term = perEpisode<Task>(name, async (episode) => {
    const wanted = reference(episode);
    const shown = labels?.(episode) ?? wanted.map((_, i) => String(i + 1));
    const scores = read(text(episode), shown, parse);
    return {
      rewards: [
        { name, value: groupJudgeReward(scores, wanted), ...place },
        { name: `${name}.legal`, value: scores === undefined ? 0 : 1, logged: true },
      ],
    };
  });
  return agent === undefined ? term : { ...term, needs: { agents: [agent] } };
}

function read(
  text: string,
  labels: readonly string[],
  parse: (text: string, labels: readonly string[]) => readonly number[],
): readonly number[] | undefined {
  try {
    return parse(text, labels);
  } catch {
    return undefined;
  }
}

export const groupJudgeCard: MethodCard = {
  name: "group-judge",
  title: "Training a group judge (GRRM)",
  stage: "reward",
  line: "rewards a judge that ranks and scores a whole group for agreeing with a reference, pair by pair",
  use: 'import { judgeTraining, readScoredRanking, relativeJudge } from "troupe/rewards"',
  formula: [
    "0 unless the form is right and the scores imply the ranking; else rank + margin",
    "rank = share of pairs ordered as in the reference; margin = mean of {0: 1, 1: 0.6, 2: 0.2, else 0}[|Δ_ref − Δ|]",
  ],
  defaults: {},
  source: "GRRM, arXiv 2602.14028",
  notes: ["CHOSEN: the words of the ranking and score lines; at least two candidates."],
};
