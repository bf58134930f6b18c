/** @file What the coder reads: the puzzle, and from its second attempt on what became of the one before. */

import type { Puzzle, Test } from "./puzzles.ts";

/** What is told of an attempt that failed: the first public test that it fails, or why it did not run. */
export interface Feedback {
  readonly code: string;
  /** "[3,1] gave 5, not 4", or "SyntaxError". Undefined: all public tests passed. */
  readonly fault: string | undefined;
}

const line = ({ input, output }: Test) => `${JSON.stringify(input)} -> ${JSON.stringify(output)}`;

/** The problem is always there; a refinement adds the attempt before. Hidden tests are not in it. */
export function coderPrompt({
  puzzle,
  before,
}: {
  readonly puzzle: Pick<Puzzle, "text" | "publicTests">;
  readonly before: Feedback | undefined;
}): string {
  const problem = [puzzle.text, ...puzzle.publicTests.map(line)];
  const tried = before === undefined ? [] : [`tried ${before.code}`, before.fault ?? "all right"];
  return `${[...problem, ...tried].join("\n")}\n:`;
}
