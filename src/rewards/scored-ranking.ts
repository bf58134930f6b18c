/**
 * @file Reads the verdict of a judge that ranks and scores a group: a line with the ranking, a line with the scores, and both
 * must say the same. Source: GRRM (arXiv 2602.14028); the words of the lines are CHOSEN.
 */

import { readRanking } from "./relative-judge.ts";

const highestScore = 10;

/**
 * Reads `Ranking: 2 > 1 = 3` and `Scores: 1: 7, 2: 9, 3: 7`, in the last lines that have all labels.
 * @returns [labels] scores, integers from 0 to 10
 * @throws Error if a line is missing or wrong, or the scores imply another ranking
 */
export function readScoredRanking(text: string, labels: readonly string[]): readonly number[] {
  const ranks = readRanking(text, labels);
  const scores = readScores(text, labels);
  for (const [i, score] of scores.entries()) {
    if (!(Number.isInteger(score) && score >= 0 && score <= highestScore))
      throw new Error(`its score ${score} of ${labels[i]} is not an integer from 0 to ${highestScore}`);
    for (let j = 0; j < i; j++) {
      if (Math.sign(score - scores[j]!) !== Math.sign(ranks[i]! - ranks[j]!))
        throw new Error(`its scores of ${labels[j]} and ${labels[i]} imply another ranking than it states`);
    }
  }
  return scores;
}

function readScores(text: string, labels: readonly string[]): readonly number[] {
  for (const line of text.split("\n").reverse()) {
    const after = /scores?\W*:(.*)$/iu.exec(line)?.[1];
    if (after === undefined) continue;
    const pairs = [...after.matchAll(/([^\s,;:=[\]()*]+)[\])*]*\s*[:=]\s*(-?\d+(?:\.\d+)?)/gu)];
    const found = new Map(pairs.map(([, label, score]) => [label!, Number(score)]));
    if (pairs.length === labels.length && labels.every((label) => found.has(label)))
      return labels.map((label) => found.get(label)!);
  }
  throw new Error(`no line of it scores ${labels.join(", ")}`);
}
