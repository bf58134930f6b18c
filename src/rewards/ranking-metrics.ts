/**
 * @file How good an order of documents is: NDCG and recall over the best few, and the divergence of two lists of scores.
 * Sources: Järvelin and Kekäläinen (2002) for NDCG, with linear gains; Lin (1991) for Jensen–Shannon. CHOSEN: documents of
 * equal score share their places, since a stable order would pay for the place in the prompt; without a relevant document
 * NDCG and recall are 0; weights are divided by their sum, and all-zero ones are uniform.
 */

import { checkFinite, wrongRewardSetting } from "./setting.ts";

export const cutoffDefaults = { cutoff: 10, ties: "share" } as const;
const what = "A ranking metric";

export interface CutoffOptions {
  /** Documents that count, from the best down. Default 10 (paper). */
  readonly cutoff?: number;
  /** "share": documents of equal score share their places. "order": the earlier one comes first. Default "share". */
  readonly ties?: "share" | "order";
}

/** [n] what each document gets of the value of places, if it stands where its score puts it. */
function placed(
  scores: readonly number[],
  placeValue: (place: number) => number,
  { cutoff = cutoffDefaults.cutoff, ties = cutoffDefaults.ties }: CutoffOptions,
): number[] {
  checkFinite(what, "a score", scores);
  if (!(Number.isInteger(cutoff) && cutoff >= 1))
    throw wrongRewardSetting(what, "cutoff", cutoff, "an integer of at least 1");
  const worth = (place: number) => (place < cutoff ? placeValue(place) : 0);
  return scores.map((score, i) => {
    const above = scores.filter((other) => other > score).length;
    const equal = scores.flatMap((other, j) => (other === score ? [j] : []));
    if (ties === "order") return worth(above + equal.indexOf(i));
    return equal.reduce((sum, _, k) => sum + worth(above + k), 0) / equal.length;
  });
}

const discount = (place: number) => 1 / Math.log2(place + 2);

/**
 * Σ gain ÷ log2(place + 1) over the best `cutoff` documents, over that of the best order. 0 if nothing is relevant (CHOSEN).
 * @param scores [n] predicted, higher is better
 * @param relevance [n] gains of at least 0; the paper's are 0 and 1
 * @throws RewardDefinitionError
 */
export function ndcg(
  scores: readonly number[],
  relevance: readonly number[],
  options: CutoffOptions = {},
): number {
  checkRelevance(scores, relevance);
  const gained = (order: readonly number[]) =>
    placed(order, discount, options).reduce((sum, value, i) => sum + value * relevance[i]!, 0);
  const best = gained(relevance);
  return best === 0 ? 0 : gained(scores) / best;
}

/** Share of the relevant documents that are among the best `cutoff`. 0 if nothing is relevant (CHOSEN). */
export function recallAt(
  scores: readonly number[],
  relevance: readonly number[],
  options: CutoffOptions = {},
): number {
  checkRelevance(scores, relevance);
  const within = placed(scores, () => 1, options);
  const relevant = relevance.filter((gain) => gain > 0).length;
  return relevant === 0
    ? 0
    : within.reduce((sum, share, i) => sum + (relevance[i]! > 0 ? share : 0), 0) / relevant;
}

function checkRelevance(scores: readonly number[], relevance: readonly number[]): void {
  checkFinite(what, "a relevance", relevance);
  if (relevance.some((gain) => gain < 0))
    throw wrongRewardSetting(what, "relevance", relevance, "at least 0 each");
  if (scores.length !== relevance.length)
    throw wrongRewardSetting(what, "scores", scores, `${relevance.length} numbers, one a document`);
}

/**
 * Jensen–Shannon divergence of two lists of weights, each divided by its sum, in bits: 0 if equal, at most 1.
 * @throws RewardDefinitionError if a weight is negative, or the lengths differ
 */
export function jensenShannon(left: readonly number[], right: readonly number[]): number {
  checkFinite(what, "a weight", [...left, ...right]);
  if (left.length !== right.length)
    throw wrongRewardSetting(what, "weights", left, `${right.length} numbers, as the gold ones`);
  if ([...left, ...right].some((weight) => weight < 0))
    throw wrongRewardSetting(what, "weights", [left, right], "at least 0 each");
  const [p, q] = [shares(left), shares(right)];
  let bits = 0;
  for (const [i, a] of p.entries()) {
    const middle = (a + q[i]!) / 2;
    for (const one of [a, q[i]!]) if (one > 0) bits += (one / 2) * Math.log2(one / middle);
  }
  return Math.max(0, bits);
}

function shares(weights: readonly number[]): readonly number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (total === 0 ? 1 / weights.length : weight / total));
}
