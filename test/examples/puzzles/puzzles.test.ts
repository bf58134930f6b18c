/** Puzzles: programs do what is said of them, training and testing are apart, hidden tests are in no text. */

import { describe, expect, test } from "vitest";
import {
  apply,
  codeOf,
  type Link,
  operationNamed,
  operations,
} from "../../../examples/puzzles/operations.ts";
import { coderPrompt } from "../../../examples/puzzles/prompts.ts";
import { kindsOf, puzzleAt, puzzles, same, solutionOf } from "../../../examples/puzzles/puzzles.ts";
import { feedbackOn, type Trace, traceStream } from "../../../examples/puzzles/traces.ts";
import { JavaScriptSandbox } from "../../../src/tools/index.ts";

const constants = [1, 2, 3, 4];

/** All chains of a kind. */
const chainsOf = (kind: readonly string[]): readonly (readonly Link[])[] =>
  kind.reduce<readonly (readonly Link[])[]>(
    (chains, operation) =>
      chains.flatMap((chain) =>
        (operationNamed(operation).constant ? constants : [0]).map((k) => [...chain, { operation, k }]),
      ),
    [[]],
  );

const programs = {
  train: new Set(kindsOf("train").flatMap(chainsOf).map(codeOf)),
  test: new Set(kindsOf("test").flatMap(chainsOf).map(codeOf)),
};

const tracesOf = (seed: number, count: number): readonly Trace[] => {
  const traces = traceStream(seed);
  return Array.from({ length: count }, () => traces.next().value);
};

/** Which operations a description names, read back from its words. */
function kindOf(words: string): string {
  const named = words.split(", ").map((phrase) => {
    const found = operations.find((one) =>
      one.words.some((say) => ["?", "1", "2", "3", "4"].some((k) => say(k) === phrase)),
    );
    if (found === undefined) throw new Error(`No operation says ${JSON.stringify(phrase)}.`);
    return found.name;
  });
  return named.join(" ");
}

test("in the sandbox each program does what its chain does, for every kind", async () => {
  const sandbox = await JavaScriptSandbox.load();
  const inputs = [[], [5], [3, 1, 2], [0, 9, 9, 4, 7], [2, 2, 8, 6, 1]];
  const all = [...kindsOf("train"), ...kindsOf("test")].map((kind, i) => chainsOf(kind).at(-1 - (i % 2)));
  for (const chain of all.filter((one) => one !== undefined)) {
    const results = await sandbox.run(
      `x => ${codeOf(chain)}`,
      inputs.map((x) => [x]),
    );
    expect(results, codeOf(chain)).toEqual(inputs.map((x) => ({ status: "value", value: apply(chain, x) })));
  }
  await sandbox.close();
});

test("every constant of an operation is in its code, its words and what it does", () => {
  const x = [5, 1, 4, 2, 3, 0, 9];
  for (const { name, constant, words } of operations.filter((one) => one.constant)) {
    expect(constant).toBe(true);
    const done = constants.map((k) => JSON.stringify(apply([{ operation: name, k }], x)));
    expect(new Set(done).size).toBe(4);
    for (const say of words) expect(say("7")).toContain("7");
  }
  const phrases = operations.flatMap(({ words }) => words.map((say) => say("?")));
  expect(new Set(phrases).size).toBe(phrases.length);
});

describe("training and testing are apart", () => {
  test("in kinds and in programs", () => {
    expect(kindsOf("test")).toHaveLength(98);
    expect(kindsOf("train")).toHaveLength(392);
    expect(programs.train.size + programs.test.size).toBe(
      [...kindsOf("train"), ...kindsOf("test")].flatMap(chainsOf).length,
    );
    expect([...programs.test].filter((code) => programs.train.has(code))).toEqual([]);
  });

  test("no task has the program of the other split", () => {
    for (const split of ["train", "test"] as const) {
      const other = split === "train" ? programs.test : programs.train;
      for (let place = 0; place < 400; place++) {
        const puzzle = puzzleAt(split, place);
        expect(kindOf(puzzle.text)).toBe(puzzle.kind);
        expect(programs[split].has(solutionOf(puzzle))).toBe(true);
        expect(other.has(solutionOf(puzzle))).toBe(false);
      }
    }
  });

  test("no pretraining text describes a test puzzle; its program is there as another puzzle's wrong answer only", () => {
    const testKinds = new Set(kindsOf("test").map((kind) => kind.join(" ")));
    let wrong = 0;
    const traces = [1011, 1012, 1013].flatMap((seed) => tracesOf(seed, 1500));
    for (const { prompt, completion } of traces) {
      const kind = kindOf(prompt.split("\n")[0]!);
      expect(testKinds.has(kind)).toBe(false);
      if (!programs.test.has(completion)) continue;
      wrong++;
      const answers = chainsOf(kind.split(" ")).map(codeOf);
      expect(answers).not.toContain(completion);
    }
    // One in fifteen: who leaves out the last of three operations writes a program of two.
    expect(wrong / traces.length).toBeGreaterThan(0.04);
    expect(wrong / traces.length).toBeLessThan(0.09);
  });
});

describe("tests of a puzzle", () => {
  const all = Array.from({ length: 200 }, (_, i) => puzzleAt(i % 2 === 0 ? "train" : "test", i));

  test("three are shown and six are hidden, and its program passes them all", () => {
    for (const { publicTests, hiddenTests, chain } of all) {
      expect(publicTests).toHaveLength(3);
      expect(hiddenTests).toHaveLength(6);
      for (const { input, output } of [...publicTests, ...hiddenTests])
        expect(same(apply(chain, input), output)).toBe(true);
    }
  });

  test("a constant that is not told follows from those that are shown", () => {
    const untold = all.filter(({ text }) => text.includes("?"));
    expect(untold.length).toBeGreaterThan(50);
    for (const { text, kind, chain, publicTests } of untold) {
      const at = text.split(", ").findIndex((phrase) => phrase.includes("?"));
      expect(operationNamed(kind.split(" ")[at]!).constant).toBe(true);
      const fits = constants.filter((k) => {
        const other = chain.map((link, i) => (i === at ? { ...link, k } : link));
        return publicTests.every(({ input, output }) => same(apply(other, input), output));
      });
      expect(fits).toEqual([chain[at]!.k]);
    }
  });

  test("hidden ones are in no prompt, first or later", () => {
    for (const puzzle of all) {
      const shown = new Set(puzzle.publicTests.map(({ input }) => JSON.stringify(input)));
      const wrong = feedbackOn(puzzle, puzzle.chain.slice(0, -1));
      for (const before of [undefined, wrong]) {
        const prompt = coderPrompt({ puzzle, before });
        expect(prompt.startsWith(`${puzzle.text}\n`)).toBe(true);
        for (const { input, output } of puzzle.hiddenTests) {
          const text = JSON.stringify(input);
          if (!shown.has(text)) expect(prompt).not.toContain(`${text} -> ${JSON.stringify(output)}`);
          // Other hidden tests, the same prompt: no letter of it comes from them.
          expect(prompt).toBe(coderPrompt({ puzzle: { ...puzzle, ...{ hiddenTests: [] } }, before }));
        }
      }
    }
  });

  test("what a run sees of a puzzle does not have its program", () => {
    const [first] = puzzles("test", 1, 7);
    const { text, publicTests, hiddenTests, attempts } = puzzleAt("test", 7);
    expect(first).toEqual({ text, publicTests, hiddenTests, attempts });
  });
});

test("the same number is the same puzzle, and the same seed the same texts", () => {
  expect(puzzleAt("train", 5)).toEqual(puzzleAt("train", 5));
  expect(puzzles("train", 3, 2)).toEqual(puzzles("train", 5).slice(2));
  expect(new Set(puzzles("train", 300).map((puzzle) => JSON.stringify(puzzle))).size).toBe(300);
  expect(tracesOf(3, 20)).toEqual(tracesOf(3, 20));
  expect(tracesOf(3, 20)).not.toEqual(tracesOf(4, 20));
});

test("more than half of the second attempts after feedback mend the fault", () => {
  const second = tracesOf(21, 6000).filter(({ prompt }) => prompt.includes("\ntried "));
  const mended = second.filter(({ prompt, completion }) => {
    const kind = kindOf(prompt.split("\n")[0]!).split(" ");
    const chain = chainsOf(kind).find((one) => codeOf(one) === completion);
    const shown = prompt.split("\n").flatMap(
      (line) =>
        /^(\[.*\]) -> (.*)$/
          .exec(line)
          ?.slice(1)
          .map((json) => JSON.parse(json)) ?? [],
    );
    return (
      chain !== undefined && [0, 2, 4].every((i) => same(apply(chain, shown[i] as number[]), shown[i + 1]))
    );
  });
  expect(second.length).toBeGreaterThan(1000);
  expect(mended.length / second.length).toBeGreaterThan(0.5);
});
