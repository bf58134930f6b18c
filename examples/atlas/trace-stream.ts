/** @file The endless stream of pretraining examples: a fresh counterfactual world, some dozens of questions, the next world. */

import { stream } from "troupe";
import { searchWorld } from "./prompts.ts";
import { type Kind, Questioner } from "./questions.ts";
import { drawShare, type Habits, type Trace, workThrough } from "./traces.ts";
import { counterfactualWorld } from "./world.ts";

/**
 * The habits of the crowd that the starter learns from. The most common habit of a role is not the one that pays
 * best, and none is conditional on the question: that is what reinforcement learning has to find out.
 */
export const crowd: Habits = {
  planner: { hasty: 0.5, stepwise: 0.3, thorough: 0.2 },
  reader: { value: 0.6, sentence: 0.4 },
  answerer: { exact: 0.55, wordy: 0.45 },
};

/** How often each kind of question is practised. */
const practised: Readonly<Record<Kind, number>> = {
  attribute: 0.18,
  inverse: 0.1,
  chain: 0.32,
  comparison: 0.13,
  between: 0.1,
  longChain: 0.05,
  describedComparison: 0.12,
};
const questionsPerWorld = 40;

export function* traceStream(seed: number, habits: Habits = crowd): Generator<Trace, never> {
  for (let place = 0; ; place++) {
    const random = stream("atlas", "pretrain", seed, place);
    const world = counterfactualWorld(random, `${seed}/${place}`, 24 + random.integer(40));
    const search = searchWorld(world);
    const questioner = new Questioner(world);
    for (let i = 0; i < questionsPerWorld; i++) {
      const kind = drawShare(practised, random);
      let question = questioner.ask(kind, "train", random);
      for (let trial = 1; !question && trial < 20; trial++) question = questioner.ask(kind, "train", random);
      if (question) yield* workThrough(question, search, habits, random);
    }
  }
}
