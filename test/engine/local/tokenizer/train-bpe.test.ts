/** @file BPE training learns what the Rust trainer learns, writes what loads again, and says when it cannot. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ModelTokenizer } from "../../../../src/engine/local/tokenizer/tokenizer.ts";
import {
  type splitPatterns,
  type TrainedTokenizer,
  trainBpe,
  writeTokenizer,
} from "../../../../src/engine/local/tokenizer/train-bpe.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/tokenizers/", import.meta.url));
const corpus = (await readFile(`${fixtures}corpus.txt`, "utf8")).split("\n");
const reference: readonly {
  readonly split: keyof typeof splitPatterns;
  readonly vocabularySize: number;
  readonly merges: readonly string[];
}[] = JSON.parse(await readFile(`${fixtures}merges.json`, "utf8"));

const modelOf = ({ tokenizer }: TrainedTokenizer) =>
  tokenizer.model as { readonly merges: readonly string[]; readonly vocab: Readonly<Record<string, number>> };

/** Counts every pair anew after each merge. */
function naiveMerges(words: readonly string[], limit: number): string[] {
  const pieces = words.map((word) => [...word]);
  // Pairs of equal count go by the ids of their parts: bytes in order of their characters, then merged tokens by age.
  const ids = [...new Set(pieces.flat())].toSorted();
  const merges: string[] = [];
  while (merges.length < limit) {
    const counts = new Map<string, number>();
    for (const word of pieces) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]} ${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const order = (pair: string) => pair.split(" ").map((part) => ids.indexOf(part));
    const best = [...counts]
      .filter(([, count]) => count >= 2)
      .toSorted(([a, m], [b, n]) => n - m || order(a)[0]! - order(b)[0]! || order(a)[1]! - order(b)[1]!)[0];
    if (!best) break;
    const [left, right] = best[0].split(" ") as [string, string];
    merges.push(best[0]);
    if (!ids.includes(left + right)) ids.push(left + right);
    for (const word of pieces) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
      }
    }
  }
  return merges;
}

describe("merges", () => {
  test.each(reference)("equal those of the Rust trainer: $split", ({ split, vocabularySize, merges }) => {
    expect(modelOf(trainBpe(corpus, { vocabularySize, split })).merges).toEqual(merges);
  });

  test("equal those of a naive count, on words that overlap and repeat", () => {
    const words = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 12 }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 12 }), (texts, limit) => {
        const expected = naiveMerges(texts, limit);
        const tokens = new Set(expected.map((pair) => pair.replace(" ", "")));
        // Two ways to one token give fewer tokens than merges; the size is then reached earlier or later.
        fc.pre(expected.length > 0 && tokens.size === expected.length);
        const trained = trainBpe(texts, {
          vocabularySize: 256 + expected.length,
          specialTokens: [],
          split: "words",
        });
        expect(modelOf(trained).merges).toEqual(expected);
      }),
    );
  });

  test("do not depend on the order of the texts", () => {
    const forwards = trainBpe(corpus, { vocabularySize: 600 });
    const backwards = trainBpe(corpus.toReversed(), { vocabularySize: 600 });
    expect(backwards).toEqual(forwards);
  });
});

describe("tokens", () => {
  test("the vocabulary has the size asked for, and no gaps", () => {
    const { vocab } = modelOf(trainBpe(corpus, { vocabularySize: 512 }));
    expect(Object.values(vocab).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 512 }, (_, i) => i));
  });

  test("digits stand alone, or in runs where asked for", () => {
    const tokensWithDigits = (split: "words" | "single-digits") =>
      Object.keys(modelOf(trainBpe(corpus, { vocabularySize: 700, split })).vocab).filter((token) =>
        /\d/.test(token),
      );
    expect(tokensWithDigits("single-digits").toSorted()).toEqual([..."0123456789"]);
    expect(tokensWithDigits("words").length).toBeGreaterThan(10);
  });

  test("special tokens in the text are cut out and never learnt from", () => {
    const text = "<|im_end|>".repeat(50) + corpus.join(" ");
    const { vocab, merges } = modelOf(trainBpe([text], { vocabularySize: 400 }));
    expect(merges.filter((pair) => pair.includes("|"))).toEqual([]);
    expect([vocab["<|endoftext|>"], vocab["<|im_start|>"], vocab["<|im_end|>"]]).toEqual([0, 1, 2]);
  });

  test("names of object properties are ordinary text", () => {
    const { vocab } = modelOf(
      trainBpe(["__proto__ ".repeat(20)], {
        vocabularySize: 256 + 7,
        specialTokens: [],
        split: { pattern: "\\S+|\\s+" },
      }),
    );
    expect(Object.keys(JSON.parse(JSON.stringify(vocab)))).toContain("__proto__");
  });
});

test("what is written loads again and is the committed fixture", async () => {
  const folder = await mkdtemp(join(tmpdir(), "troupe-bpe-"));
  await writeTokenizer(folder, trainBpe(corpus, { vocabularySize: 512, contextLength: 256 }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    expect(await readFile(join(folder, name), "utf8")).toBe(
      await readFile(`${fixtures}trained/${name}`, "utf8"),
    );
  }
  const tokenizer = await ModelTokenizer.load(folder);
  expect(tokenizer.endTokens).toEqual([2]);
  expect(tokenizer.vocabularySize).toBe(512);
  await rm(folder, { recursive: true });
});

describe("refusals", () => {
  test("too little text says how far it reaches", () => {
    expect(() => trainBpe(["abab abab"], { vocabularySize: 1000 })).toThrow(
      expect.objectContaining({
        code: "E_BPE_TOO_LITTLE_TEXT",
        facts: expect.objectContaining({ reached: 261 }),
      }),
    );
    expect(() => trainBpe([], { vocabularySize: 300 })).toThrow(
      expect.objectContaining({ code: "E_BPE_TOO_LITTLE_TEXT" }),
    );
  });

  test.each([
    ["a vocabulary smaller than its bytes", { vocabularySize: 258 }],
    ["a fractional size", { vocabularySize: 300.5 }],
    ["a repeated special token", { vocabularySize: 400, specialTokens: ["a", "a"] }],
    ["an empty special token", { vocabularySize: 400, specialTokens: [""] }],
    ["an end token that is not special", { vocabularySize: 400, endToken: "</s>" }],
  ])("%s", (_, options) => {
    expect(() => trainBpe(corpus, options)).toThrow(expect.objectContaining({ code: "E_BPE_OPTIONS" }));
  });
});
