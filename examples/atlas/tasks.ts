/** @file The recipe's tasks: questions over the true world, training and test apart in countries and in wording. */

import { stream } from "troupe";
import type { Split } from "./frames.ts";
import { drawQuestions, type Kind, type Question, Questioner } from "./questions.ts";
import { testCountries, trainingWorld, trueWorld } from "./world.ts";

export interface AtlasTask {
  readonly id: string;
  readonly kind: Kind;
  readonly hops: 1 | 2 | 3;
  readonly question: string;
  readonly answer: string;
  /** Which world the search tool searches: training sees nothing of test countries. */
  readonly world: Split;
}

/** How often each kind of question is asked. */
export const kindShares: Readonly<Record<Kind, number>> = {
  attribute: 0.2,
  inverse: 0.12,
  chain: 0.38,
  comparison: 0.1,
  between: 0.06,
  longChain: 0.02,
  describedComparison: 0.12,
};

/** The questions behind {@link atlasTasks}, with their plans. */
export function atlasQuestions(split: Split, count: number, seed: number): readonly Question[] {
  const world = split === "test" ? trueWorld() : trainingWorld();
  const about = split === "test" ? (name: string) => testCountries.has(name) : undefined;
  return drawQuestions(
    new Questioner(world, about),
    split,
    kindShares,
    count,
    stream("atlas", "tasks", split, seed),
  );
}

export function atlasTasks(split: Split, count: number, seed: number): readonly AtlasTask[] {
  return atlasQuestions(split, count, seed).map(({ kind, hops, question, answer }, i) => ({
    id: `${split}-${i}`,
    kind,
    hops,
    question,
    answer,
    world: split,
  }));
}
