import { describe, expect, it } from "vitest";
import { traceStream } from "../../../examples/atlas/trace-stream.ts";
import { weightedBatches } from "../../../examples/pretraining/weighted-batches.ts";

/** Characters as tokens. */
const encode = (text: string) => Int32Array.from(text, (character) => character.codePointAt(0)! + 1);
const options = { seed: 3, encode, endToken: 0, batchTokens: 6000, promptWeight: 0.25 };

describe("pretraining data", () => {
  it("is the same for the same seed, and new in every world", () => {
    const take = (seed: number) => {
      const traces = traceStream(seed);
      return Array.from({ length: 300 }, () => traces.next().value);
    };
    expect(take(5)).toEqual(take(5));
    expect(take(5)).not.toEqual(take(6));
    const prompts = take(5).map((trace) => trace.prompt);
    expect(new Set(prompts).size).toBeGreaterThan(270);
  });

  it("mixes the habits of the crowd", () => {
    const traces = traceStream(1);
    const count = { wordy: 0, answers: 0, single: 0, plans: 0 };
    for (let i = 0; i < 4000; i++) {
      const { agent, completion } = traces.next().value;
      if (agent === "answerer") {
        count.answers++;
        if (completion.startsWith(" The answer to the question is ")) count.wordy++;
      } else if (agent === "planner") {
        count.plans++;
        if (!completion.includes(";")) count.single++;
      }
    }
    expect(count.wordy / count.answers).toBeGreaterThan(0.4);
    expect(count.wordy / count.answers).toBeLessThan(0.5);
    expect(count.single / count.plans).toBeGreaterThan(0.5);
  });

  it("weighs completion tokens to a sum of one, and prompt tokens by their share", () => {
    const batches = weightedBatches({ ...options, traces: traceStream(3) });
    for (let i = 0; i < 5; i++) {
      const { sequences, weights, unit, tokens } = batches.next().value;
      expect(tokens).toBe(sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0));
      expect(tokens).toBeLessThanOrEqual(options.batchTokens);
      expect(weights.length).toBe(tokens - sequences.length);
      const completed = weights.filter((weight) => weight === unit);
      expect(completed.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 3);
      expect(
        weights.filter((weight) => weight !== unit).every((weight) => Math.abs(weight - unit / 4) < 1e-9),
      ).toBe(true);
      // Completions end with the end token; their first token comes after the prompt's colon.
      let at = 0;
      for (const { tokens: ids, mask } of sequences) {
        expect(ids.at(-1)).toBe(0);
        expect(mask[0]).toBe(0);
        const text = String.fromCodePoint(...ids.subarray(0, -1).map((id) => id - 1));
        const first = weights.subarray(at, at + ids.length - 1).indexOf(unit) + 1;
        expect(text.slice(0, first)).toMatch(/(Search|Found|Answer):$/);
        at += ids.length - 1;
      }
    }
  });
});
