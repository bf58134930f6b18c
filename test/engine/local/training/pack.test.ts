/** @file Packing against its naive definition: what each scored token sees, and how many positions that takes. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type PackOptions, packBatch } from "../../../../src/engine/local/training/pack.ts";
import { inputLength, PrefixTrie } from "../../../../src/engine/local/training/prefix-trie.ts";
import type { TrainingSequence } from "../../../../src/engine/policy.ts";

const vocabularySize = 4;
/** Attention is free and a microbatch endless: whatever can be shared is shared. */
const greedy: PackOptions = {
  vocabularySize,
  contextLength: 64,
  budget: { tokens: 1e6, pairs: 1e12 },
  costs: { token: 1, pair: 0 },
};

/** Few token ids, so that prefixes are often shared. */
const sequence = (temperatures: readonly number[]) =>
  fc
    .record({
      pairs: fc.array(fc.tuple(fc.nat(vocabularySize - 1), fc.nat(1)), { minLength: 1, maxLength: 9 }),
      temperature: fc.constantFrom(...temperatures),
    })
    .map(
      ({ pairs, temperature }): TrainingSequence => ({
        tokens: Int32Array.from(pairs, ([token]) => token),
        mask: Uint8Array.from(pairs, ([, bit], i) => (i === 0 ? 0 : bit)),
        temperature,
      }),
    );
const batches = (temperatures: readonly number[] = [1]) =>
  fc.array(sequence(temperatures), { minLength: 1, maxLength: 12 });
const options = fc.record({
  tokens: fc.integer({ min: 1, max: 60 }),
  pairs: fc.integer({ min: 1, max: 900 }),
  token: fc.integer({ min: 1, max: 20 }),
  pair: fc.integer({ min: 0, max: 3 }),
  share: fc.boolean(),
});

describe("packed rows", () => {
  it("show each scored token exactly its own prefix, whatever the budget and costs", () => {
    fc.assert(
      fc.property(batches([1, 0.5]), options, (batch, { tokens, pairs, token, pair, share }) => {
        const packed = packBatch(batch, {
          ...greedy,
          budget: { tokens, pairs },
          costs: { token, pair },
          share,
        });
        const offsets = batch.map((_, i) => batch.slice(0, i).reduce((n, { mask }) => n + ones(mask), 0));
        const seen: number[] = [];
        for (const { packed: rows, sequences, places } of packed.microbatches) {
          let i = 0;
          for (const index of sequences) {
            const { tokens: ids, mask, temperature } = batch[index]!;
            let k = 0;
            for (let at = 1; at < ids.length; at++) {
              if (mask[at] !== 1) continue;
              const n = rows.scored[i]!;
              const source = rows.sources[n]!;
              const ancestors = ancestorsOf(rows, source);
              expect(ancestors.map((j) => rows.tokens[j])).toEqual([...ids.subarray(0, at)]);
              expect(ancestors.map((j) => rows.positions[j])).toEqual(ancestors.map((_, depth) => depth));
              expect(rows.targets[n]).toBe(ids[at]);
              expect(rows.inverseTemperatures[n]).toBe(1 / temperature!);
              expect(places[i]).toBe(offsets[index]! + k);
              seen.push(places[i]!);
              k++;
              i++;
            }
          }
          expect(places.length).toBe(i);
        }
        expect(seen.toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: packed.scoredCount }, (_, i) => i),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("have different sources, a true inverse, inert padding, and keep to the budget", () => {
    fc.assert(
      fc.property(batches([1, 0.5]), options, (batch, { tokens, pairs, token, pair, share }) => {
        const { microbatches } = packBatch(batch, {
          ...greedy,
          budget: { tokens, pairs },
          costs: { token, pair },
          share,
        });
        for (const { packed: rows, sequences } of microbatches) {
          const { sources, inverse, width, end } = rows;
          expect(new Set(sources).size).toBe(sources.length);
          expect(rows.targets.length).toBe(sources.length);
          expect([...inverse]).toEqual(
            Array.from(inverse, (_, at) => {
              const n = sources.indexOf(at);
              return n < 0 ? sources.length : n;
            }),
          );
          for (let at = 0; at < end.length; at++) {
            expect(end[at]).toBeGreaterThan(at % width);
            expect(end[at]).toBeLessThanOrEqual(width);
          }
          if (sequences.length === 1 || rows.rows === 0) continue;
          const alone = Math.max(...Array.from(sequences, (index) => inputLength(batch[index]!)));
          expect(rows.rows * width).toBeLessThanOrEqual(Math.max(tokens, alone));
          expect(rows.rows * width * width).toBeLessThanOrEqual(Math.max(pairs, alone * alone));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("take one position per different prefix, and one more per further target of a prefix", () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const prefixes = new Set<string>();
        const targets = new Map<string, Set<number>>();
        const trie = new PrefixTrie();
        for (const one of batch) {
          trie.insert(one);
          for (let i = 0; i < inputLength(one); i++) {
            const prefix = one.tokens.subarray(0, i + 1).join();
            prefixes.add(prefix);
            if (one.mask[i + 1] !== 1) continue;
            targets.set(prefix, (targets.get(prefix) ?? new Set()).add(one.tokens[i + 1]!));
          }
        }
        const repeats = [...targets.values()].reduce((sum, set) => sum + set.size - 1, 0);
        expect(trie.size).toBe(prefixes.size + repeats);
        // Of a batch, no more than unshared, and no fewer than one trie of everything.
        const { microbatches } = packBatch(batch, greedy);
        const used = microbatches.reduce((sum, { packed }) => sum + usedPositions(packed), 0);
        expect(used).toBeGreaterThanOrEqual(trie.size);
        expect(used).toBeLessThanOrEqual(batch.reduce((sum, one) => sum + inputLength(one), 0));
      }),
      { numRuns: 300 },
    );
  });

  it("reach the size of the trie where prefixes are long", () => {
    const prompt = Array.from({ length: 20 }, (_, i) => i % 3);
    const answers = [[0, 1, 2], [0, 1, 3], [1], [1, 2], [0, 1, 2]];
    const batch = answers.map((answer) => sampled(prompt, answer));
    const { microbatches } = packBatch(batch, greedy);
    expect(microbatches).toHaveLength(1);
    const { packed, places } = microbatches[0]!;
    // Inputs: the prompt; 0; 01; 1. Copies: one of the prompt's end (0 | 1) and one of 01 (2 | 3).
    expect(packed.rows * packed.width).toBe(20 + 3 + 2);
    expect(packed.targets.length).toBe(6);
    expect(places.length).toBe(12);
  });

  it("share the prompt of sequences of different temperature, but no scored token", () => {
    const prompt = Array.from({ length: 20 }, (_, i) => i % 3);
    const batch = [sampled(prompt, [1, 2]), { ...sampled(prompt, [1, 2]), temperature: 0.5 }];
    const { microbatches } = packBatch(batch, greedy);
    expect(microbatches).toHaveLength(1);
    const { packed } = microbatches[0]!;
    // The prompt and one more input, and a copy of each position that predicts something.
    expect(packed.rows * packed.width).toBe(21 + 2);
    expect(Array.from(packed.scored, (n) => packed.inverseTemperatures[n])).toEqual([1, 1, 2, 2]);
  });

  it("do not share where attention over a wide row costs more than the prefix saves", () => {
    const batch = [0, 1, 2, 3].map((first) => sampled([0], [first, ...Array(30).fill(first)]));
    const { microbatches } = packBatch(batch, { ...greedy, costs: { token: 1, pair: 1 } });
    expect(microbatches).toHaveLength(1);
    expect(microbatches[0]!.packed).toMatchObject({ rows: 4, width: 31 });
  });

  it("put several short sequences into one row beside a long one", () => {
    const batch = [sampled([0], Array(40).fill(1)), ...[1, 2, 3].map((t) => sampled([t], Array(10).fill(t)))];
    const { microbatches } = packBatch(batch, { ...greedy, share: false });
    expect(microbatches[0]!.packed).toMatchObject({ rows: 1, width: 40 });
  });

  it("leave narrow rows to a microbatch of their own", () => {
    const batch = [
      ...Array.from({ length: 4 }, () => sampled([0], Array(40).fill(1))),
      ...Array.from({ length: 50 }, () => sampled([0], Array(21).fill(2))),
    ];
    const { microbatches } = packBatch(batch, { ...greedy, share: false });
    expect(microbatches.map(({ packed }) => [packed.rows, packed.width])).toEqual([
      [4, 40],
      [50, 21],
    ]);
  });

  it("skip sequences without scored tokens, and drop what follows the last scored one", () => {
    const batch: TrainingSequence[] = [
      { tokens: Int32Array.of(1, 2, 3), mask: Uint8Array.of(0, 0, 0) },
      { tokens: Int32Array.of(1, 2, 3, 3, 3), mask: Uint8Array.of(0, 0, 1, 0, 0) },
      { tokens: new Int32Array(0), mask: new Uint8Array(0) },
    ];
    const { microbatches, scoredCount } = packBatch(batch, greedy);
    expect(scoredCount).toBe(1);
    expect(microbatches).toHaveLength(1);
    expect([...microbatches[0]!.packed.tokens]).toEqual([1, 2]);
    expect(packBatch([batch[0]!], greedy)).toEqual({ microbatches: [], scoredCount: 0, positions: 0 });
  });
});

describe("a malformed sequence is refused by number", () => {
  const good = sampled([1], [2]);
  const cases: readonly (readonly [string, TrainingSequence, string])[] = [
    ["mask length", { tokens: Int32Array.of(1, 2), mask: Uint8Array.of(0) }, "E_SEQUENCE_MASK"],
    ["first token scored", { tokens: Int32Array.of(1, 2), mask: Uint8Array.of(1, 1) }, "E_SEQUENCE_MASK"],
    ["mask value", { tokens: Int32Array.of(1, 2), mask: Uint8Array.of(0, 2) }, "E_SEQUENCE_MASK"],
    ["temperature 0", { ...good, temperature: 0 }, "E_SEQUENCE_TEMPERATURE"],
    ["temperature NaN", { ...good, temperature: Number.NaN }, "E_SEQUENCE_TEMPERATURE"],
    ["token id", sampled([1], [vocabularySize]), "E_SEQUENCE_TOKEN"],
    ["length", sampled([1], Array(65).fill(1)), "E_SEQUENCE_LENGTH"],
  ];
  it.each(cases)("%s", (_, bad, code) => {
    expect(() => packBatch([good, bad], greedy)).toThrow(expect.objectContaining({ code }));
    expect(() => packBatch([good, bad], greedy)).toThrow(/Sequence 1 of the batch/);
  });

  it("but one as long as the context is not", () => {
    expect(packBatch([sampled([1], Array(64).fill(1))], greedy).positions).toBe(64);
  });
});

function sampled(prompt: readonly number[], output: readonly number[]): TrainingSequence {
  return {
    tokens: Int32Array.from([...prompt, ...output]),
    mask: Uint8Array.from([...prompt.map(() => 0), ...output.map(() => 1)]),
  };
}

const ones = (mask: Uint8Array): number => mask.reduce((sum, bit) => sum + bit, 0);

type Rows = ReturnType<typeof packBatch>["microbatches"][number]["packed"];

/** By the definition: i sees j iff j ≤ i < end[j], in one row. */
function ancestorsOf({ width, end }: Rows, at: number): number[] {
  const start = Math.floor(at / width) * width;
  return Array.from({ length: at - start + 1 }, (_, j) => start + j).filter((j) => at - start < end[j]!);
}

/** Padding is token 0 at position 0 that sees only itself and predicts nothing. */
function usedPositions({ tokens, positions, end, inverse, targets, width }: Rows): number {
  let padding = 0;
  for (let at = tokens.length - 1; at >= 0; at--) {
    const inert =
      tokens[at] === 0 &&
      positions[at] === 0 &&
      end[at] === (at % width) + 1 &&
      inverse[at] === targets.length;
    if (inert) padding++;
  }
  return tokens.length - padding;
}
