/**
 * @file Programming puzzles: a chain of two or three operations on a list, described in words in which one constant may be
 * missing, with three worked examples. The missing constant follows from the examples. Further tests are hidden.
 *
 * Which operations follow each other (the kind of a puzzle) decides whether it is for training or for testing: no training
 * text and no training task asks for a program of a test puzzle. Such programs do occur in training texts, as wrong answers
 * to other puzzles: whoever leaves out the last of three operations writes a program of two.
 */

import { type Stream, stream } from "troupe";
import {
  apply,
  codeOf,
  type Link,
  type Operation,
  operationNamed,
  operations,
  type Value,
} from "./operations.ts";

export interface Test {
  readonly input: readonly number[];
  readonly output: Value;
}

export interface Puzzle {
  /** Words for the operations, a missing constant as "?". */
  readonly text: string;
  /** Shown in the prompt. */
  readonly publicTests: readonly Test[];
  /** In no prompt. */
  readonly hiddenTests: readonly Test[];
  /** How often the coder may try. */
  readonly attempts: number;
}

/** A puzzle with what the answer is: for pretraining and tests only. */
export interface SolvedPuzzle extends Puzzle {
  readonly chain: readonly Link[];
  readonly kind: string;
}

export type Split = "train" | "test";

const lists = operations.filter(({ gives }) => gives === "list").map(({ name }) => name);
const ends = operations.filter(({ gives }) => gives === "number").map(({ name }) => name);

/** Two lists; a list and an end; two lists and an end. The same twice makes no sense. */
const kinds: readonly (readonly string[])[] = lists.flatMap((first) => [
  ...ends.map((end) => [first, end]),
  ...lists.filter((second) => second !== first).map((second) => [first, second]),
  ...lists.filter((second) => second !== first).flatMap((second) => ends.map((end) => [first, second, end])),
]);

/** A fifth of the kinds is for testing alone. */
const testKinds: ReadonlySet<string> = new Set(
  stream("puzzles", "test kinds")
    .shuffled(kinds.map((kind) => kind.join(" ")))
    .slice(0, Math.round(kinds.length / 5)),
);

export const kindsOf = (split: Split): readonly (readonly string[])[] =>
  kinds.filter((kind) => testKinds.has(kind.join(" ")) === (split === "test"));

const kindsBySplit = { train: kindsOf("train"), test: kindsOf("test") };
const constants = [1, 2, 3, 4];

/** The puzzle with this number; the same number is the same puzzle. */
export function puzzleAt(split: Split, place: number): SolvedPuzzle {
  const random = stream("puzzles", split, place);
  for (;;) {
    const puzzle = draw(random.pick(kindsBySplit[split]), random);
    if (puzzle !== undefined) return puzzle;
  }
}

/** Without the answer: what a run sees. */
export function puzzles(split: Split, count: number, from = 0): readonly Puzzle[] {
  return Array.from({ length: count }, (_, i) => {
    const { text, publicTests, hiddenTests, attempts } = puzzleAt(split, from + i);
    return { text, publicTests, hiddenTests, attempts };
  });
}

function draw(kind: readonly string[], random: Stream): SolvedPuzzle | undefined {
  const parts = kind.map(operationNamed);
  const chain = parts.map(
    ({ name, constant }): Link => ({ operation: name, k: constant ? random.pick(constants) : 0 }),
  );
  const hideable = parts.flatMap(({ constant }, i) => (constant ? [i] : []));
  const hidden = hideable.length > 0 && random.uniform() < 0.6 ? random.pick(hideable) : -1;
  const tests = Array.from({ length: 9 }, () => testOf(chain, random));
  const publicTests = tests.slice(0, 3);
  if (new Set(tests.map(({ output }) => JSON.stringify(output))).size < 4) return undefined;
  if (hidden >= 0 && !tells(chain, hidden, publicTests)) return undefined;
  return {
    text: wordsOf(parts, chain, hidden, random),
    publicTests,
    hiddenTests: tests.slice(3),
    attempts: 1,
    chain,
    kind: kind.join(" "),
  };
}

function testOf(chain: readonly Link[], random: Stream): Test {
  const input = Array.from({ length: 3 + random.integer(3) }, () => random.integer(10));
  return { input, output: apply(chain, input) };
}

/** True if the public tests leave one constant only. */
function tells(chain: readonly Link[], hidden: number, tests: readonly Test[]): boolean {
  const fits = constants.filter((k) => {
    const other = chain.map((link, i) => (i === hidden ? { ...link, k } : link));
    return tests.every(({ input, output }) => same(apply(other, input), output));
  });
  return fits.length === 1;
}

export const same = (left: Value, right: Value): boolean => JSON.stringify(left) === JSON.stringify(right);

function wordsOf(
  parts: readonly Operation[],
  chain: readonly Link[],
  hidden: number,
  random: Stream,
): string {
  return parts.map(({ words }, i) => random.pick(words)(i === hidden ? "?" : String(chain[i]!.k))).join(", ");
}

/** The program that the puzzle was made from. */
export const solutionOf = ({ chain }: SolvedPuzzle): string => codeOf(chain);
