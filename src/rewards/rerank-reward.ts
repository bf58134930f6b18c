/**
 * @file GroupRank: a policy scores a group of documents at once; R = NDCG@10 + γ · Recall@10 + ε (1 − JS(p, q)) if its tags and its
 * JSON are right, −0.1 if only the tags are, else −0.5. p and q are its scores and the gold scores, each divided by its
 * sum; JS in bits, so in [0, 1].
 * Source: GroupRank (arXiv 2511.11653), read in full. γ = 0.2 and ε = 0.1 are the paper's. CHOSEN: scores are divided by their sum,
 * all-zero ones are uniform; documents of equal score share their places (a stable order would pay for the place in
 * the prompt); without a relevant document NDCG and recall are 0; which tags. UNVERIFIED: gold = −0.5 ln rank − 0.5 ln rank is
 * never above 0; here its smallest is taken off, since a distribution needs numbers of at least 0.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { type CutoffOptions, cutoffDefaults, jensenShannon, ndcg, recallAt } from "./ranking-metrics.ts";
import { resultText } from "./result-text.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { perEpisode } from "./terms.ts";

const defaults = { recall: 0.2, divergence: 0.1 } as const;
const onlyTags = -0.1;
const neither = -0.5;
const what = "A reranking reward";

/** Gold scores of documents from their ranks, from 1, in two teachers' orders, less the smallest of them. */
export function goldScores(pointwise: readonly number[], listwise: readonly number[]): number[] {
  const wrong = [...pointwise, ...listwise].find((rank) => !(rank >= 1));
  if (wrong !== undefined) throw wrongRewardSetting(what, "rank", wrong, "at least 1");
  if (pointwise.length !== listwise.length)
    throw wrongRewardSetting(what, "ranks", pointwise, `${listwise.length} numbers, one a document`);
  const raw = pointwise.map((rank, i) => -0.5 * Math.log(rank) - 0.5 * Math.log(listwise[i]!));
  const least = Math.min(...raw);
  return raw.map((score) => score - least);
}

export interface RankingAnswer {
  /** Whether the output has its tags. */
  readonly tags: boolean;
  /** [n] of at least 0; undefined: its JSON could not be read. */
  readonly scores?: readonly number[];
}

export interface RerankGold {
  /** [n] gains: 1 relevant, 0 not. */
  readonly relevance: readonly number[];
  /** [n] of at least 0. */
  readonly scores: readonly number[];
}

export interface RerankOptions extends CutoffOptions {
  /** γ. Default 0.2 (paper). */
  readonly recall?: number;
  /** ε. Default 0.1 (paper). */
  readonly divergence?: number;
}

/** R, at most 1 + γ + ε. @throws RewardDefinitionError */
export function rerankReward(
  { tags, scores }: RankingAnswer,
  gold: RerankGold,
  { recall = defaults.recall, divergence = defaults.divergence, ...options }: RerankOptions = {},
): number {
  checkFinite(what, "a weight", [recall, divergence]);
  if (!tags) return neither;
  if (scores === undefined) return onlyTags;
  return (
    ndcg(scores, gold.relevance, options) +
    recall * recallAt(scores, gold.relevance, options) +
    divergence * (1 - jensenShannon(scores, gold.scores))
  );
}

const tagged = /^\s*<think>[\s\S]*<\/think>\s*<answer>([\s\S]*)<\/answer>\s*$/u;

/**
 * Reads `<think>…</think><answer>…</answer>`, in the answer a JSON list of n numbers of at least 0, or an object with the
 * keys "1" to "n" (CHOSEN).
 */
export function readRerank(text: string, count: number): RankingAnswer {
  const inner = tagged.exec(text)?.[1];
  if (inner === undefined) return { tags: false };
  let value: unknown;
  try {
    value = JSON.parse(inner);
  } catch {
    return { tags: true };
  }
  if (typeof value !== "object" || value === null) return { tags: true };
  const found = value as Readonly<Record<string, unknown>>;
  const scores = Array.from({ length: count }, (_, i) => found[Array.isArray(value) ? i : String(i + 1)]);
  const isScore = (score: unknown): score is number => Number.isFinite(score) && (score as number) >= 0;
  return Object.keys(found).length === count && scores.every(isScore)
    ? { tags: true, scores }
    : { tags: true };
}

/**
 * {@link rerankReward} of an episode. What cannot be read is worth −0.1 or −0.5, as in the paper; without gold the episode
 * fails. `<name>.legal` in the logs is 1 where it could be read.
 *
 * @example
 * const reward = reranking<Query>("ranked", { gold: ({ task }) => ({ relevance: task.relevance, scores: task.scores }) });
 */
export function reranking<Task = UntypedTask>(
  name: string,
  {
    gold,
    text = resultText,
    parse = readRerank,
    ...options
  }: RerankOptions & {
    readonly gold: (episode: FinishedEpisode<NoInfer<Task>>) => RerankGold;
    /** Default: the result, if it is a text. */
    readonly text?: (episode: FinishedEpisode<NoInfer<Task>>) => string;
    /** Default {@link readRerank}. */
    readonly parse?: (text: string, count: number) => RankingAnswer;
  },
): RewardTerm<Task> {
  rerankReward({ tags: true, scores: [] }, { relevance: [], scores: [] }, options);
  return perEpisode<Task>(name, async (episode) => {
    const known = gold(episode);
    const answer = parse(text(episode), known.relevance.length);
    const legal = answer.tags && answer.scores !== undefined ? 1 : 0;
    return {
      rewards: [
        { name, value: rerankReward(answer, known, options) },
        { name: `${name}.legal`, value: legal, logged: true },
      ],
    };
  });
}

export const rerankRewardCard: MethodCard = {
  name: "rerank-reward",
  title: "Reranking reward (GroupRank)",
  stage: "reward",
  line: "for policies that score a group of documents at once: order, recall and the shape of the scores",
  use: 'import { reranking } from "troupe/rewards"',
  formula: [
    "R = NDCG@10 + γ Recall@10 + ε (1 − JS), tags and JSON right; −0.1 tags alone; −0.5 neither",
    "JS in bits between predicted and gold scores, each divided by its sum",
  ],
  defaults: {
    recall: { value: defaults.recall, source: "paper" },
    divergence: { value: defaults.divergence, source: "paper" },
    cutoff: { value: cutoffDefaults.cutoff, source: "paper" },
    ties: { value: cutoffDefaults.ties, source: "CHOSEN" },
  },
  source: "GroupRank, arXiv 2511.11653",
  notes: [
    "CHOSEN: the normaliser of scores; the tags.",
    "UNVERIFIED: the paper's gold scores are never above 0; goldScores takes their smallest off.",
  ],
};
