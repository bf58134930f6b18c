/**
 * @file What the starters learn from: puzzles of the training kinds with the answers of a crowd. The crowd's most common
 * answer is not right: many write only the beginning of the program, and many put any constant where one is missing. None
 * of that depends on the puzzle; what pays is for reinforcement learning to find out. Half of the second attempts mend the
 * fault that the feedback shows.
 */

import { type Stream, stream } from "troupe";
import { apply, codeOf, type Link, operationNamed } from "./operations.ts";
import { coderPrompt, type Feedback } from "./prompts.ts";
import { puzzleAt, type SolvedPuzzle, same } from "./puzzles.ts";

export interface Trace {
  readonly prompt: string;
  readonly completion: string;
}

/** Shares of first attempts; the rest is right. */
export interface Habits {
  /** Leaves out the last operation. */
  readonly hasty: number;
  /** Draws constants without a look at the examples. */
  readonly careless: number;
  /** Takes another operation for one of them. */
  readonly mistaken: number;
  /** Second attempts that are right. */
  readonly mended: number;
}

export const crowd: Habits = { hasty: 0.45, careless: 0.15, mistaken: 0.1, mended: 0.5 };

/** A wrong or right program, as somebody of the crowd writes it. */
function attempt({ chain }: SolvedPuzzle, habits: Habits, random: Stream): readonly Link[] {
  const place = random.uniform();
  if (place < habits.hasty) return chain.slice(0, -1);
  if (place < habits.hasty + habits.careless)
    return chain.map((link) => (link.k === 0 ? link : { ...link, k: 1 + random.integer(4) }));
  if (place < habits.hasty + habits.careless + habits.mistaken) {
    const at = random.integer(chain.length);
    const { gives, constant } = operationNamed(chain[at]!.operation);
    const others = [
      "add",
      "times",
      "above",
      "below",
      "skip",
      "take",
      "even",
      "odd",
      "sum",
      "count",
      "largest",
    ]
      .map(operationNamed)
      .filter((other) => other.gives === gives && other.constant === constant);
    if (others.length === 0) return chain;
    return chain.map((link, i) => (i === at ? { ...link, operation: random.pick(others).name } : link));
  }
  return chain;
}

/** What the public tests say about a program. */
export function feedbackOn({ publicTests }: SolvedPuzzle, chain: readonly Link[]): Feedback {
  const failed = publicTests.find(({ input, output }) => !same(apply(chain, input), output));
  const fault =
    failed &&
    `${JSON.stringify(failed.input)} gave ${JSON.stringify(apply(chain, failed.input))}, not ${JSON.stringify(failed.output)}`;
  return { code: codeOf(chain), fault };
}

export function* traceStream(seed: number, habits: Habits = crowd): Generator<Trace, never> {
  for (let place = 0; ; place++) {
    const random = stream("puzzles", "pretrain", seed, place);
    const puzzle = puzzleAt("train", 1_000_000 + random.integer(1_000_000_000));
    const first = attempt(puzzle, habits, random);
    yield { prompt: coderPrompt({ puzzle, before: undefined }), completion: codeOf(first) };
    const before = feedbackOn(puzzle, first);
    if (before.fault === undefined || random.uniform() < 0.4) continue;
    const second = random.uniform() < habits.mended ? puzzle.chain : attempt(puzzle, habits, random);
    yield { prompt: coderPrompt({ puzzle, before }), completion: codeOf(second) };
  }
}
