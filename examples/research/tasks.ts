/** @file The atlas questions that three searches answer, each with its hops. */

import type { Split } from "../atlas/frames.ts";
import type { Kind } from "../atlas/questions.ts";
import { atlasQuestions } from "../atlas/tasks.ts";
import { trainingWorld, trueWorld } from "../atlas/world.ts";
import { type Hop, hopsOf } from "./hops.ts";

/** Sub-agents that a lead may spawn. */
export const mostChildren = 3;

export interface ResearchTask {
  readonly id: string;
  readonly kind: Kind;
  readonly question: string;
  readonly answer: string;
  /** Which world is searched: training sees nothing of test countries. */
  readonly world: Split;
  /** 1 to 3. Agents never see them. */
  readonly hops: readonly Hop[];
}

/** `count` atlas questions, less those that need more searches than a lead may order (about one in eight). */
export function researchTasks(split: Split, count: number, seed: number): readonly ResearchTask[] {
  const world = split === "test" ? trueWorld() : trainingWorld();
  return atlasQuestions(split, count, seed)
    .filter(({ plan }) => plan.length <= mostChildren)
    .map((question, i) => ({
      id: `${split}-${i}`,
      kind: question.kind,
      question: question.question,
      answer: question.answer,
      world: split,
      hops: hopsOf(question, world),
    }));
}
