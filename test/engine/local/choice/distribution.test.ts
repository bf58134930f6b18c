/** @file The distribution of choices against the token chooser of language models, and its order of filters. */

import { describe, expect, test } from "vitest";
import {
  drawPlace,
  sampledDistribution,
  scoreChoices,
} from "../../../../src/engine/local/choice/distribution.ts";
import { Exploration } from "../../../../src/engine/local/choice/exploration.ts";
import { hashedText } from "../../../../src/engine/local/choice/hashed-text.ts";
import { TokenChooser } from "../../../../src/engine/local/sampling/choose-token.ts";
import { compileRules } from "../../../../src/engine/local/sampling/token-rules.ts";
import type { SamplingSettings } from "../../../../src/engine/policy.ts";
import { stream } from "../../../../src/random/stream.ts";

const settings: readonly SamplingSettings[] = [
  {},
  { temperature: 0 },
  { temperature: 0.6 },
  { topK: 2 },
  { topP: 0.7 },
  { minP: 0.3 },
  { temperature: 1.7, topK: 4, topP: 0.8, minP: 0.1 },
  { logitBias: { 1: -2, 3: 1, 4: Number.NEGATIVE_INFINITY } },
  { repetitionPenalty: 1.5 },
];

describe.each(settings)("with %j", (sampling) => {
  test("it is that of the token chooser, for every draw", () => {
    const draws = stream("choices", JSON.stringify(sampling));
    const rules = compileRules(sampling, 6);
    for (let round = 0; round < 40; round++) {
      // Whole halves make equal logits frequent.
      const logits = Float32Array.from({ length: 6 }, () => Math.round(draws.normal() * 4) / 2);
      const allowed = round % 2 === 0 ? [0, 1, 2, 3, 4, 5] : [0, 2, 3, 4];
      const seen = [0, 3];
      const chooser = new TokenChooser(6, 0);
      const plain = Float32Array.from(scoreChoices(logits, 1).probabilities);
      const uniform = draws.uniform();
      const context = {
        rules,
        allowed: Int32Array.from(allowed),
        produced: new Int32Array(0),
        producedCount: 0,
      };
      chooser.choose(logits, plain, 0, { ...context, seen: Int32Array.from(seen), seenCount: 2 }, uniform);
      const probabilities = sampledDistribution(logits, { rules, allowed, seen });
      const place = drawPlace(probabilities, uniform);
      expect(place).toBe(chooser.token);
      expect(Math.log(probabilities[place]!)).toBeCloseTo(chooser.logprob, 9);
      expect(scoreChoices(logits, 1).logprobs[place]).toBeCloseTo(chooser.plainLogprob, 5);
      expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    }
  });
});

test("logits that are no numbers, and nothing left to choose, are errors", () => {
  const rules = compileRules({ logitBias: { 0: Number.NEGATIVE_INFINITY } }, 2);
  const ask = (logits: number[], allowed: number[]) => () =>
    sampledDistribution(Float32Array.from(logits), { rules, allowed, seen: [] });
  expect(ask([0, Number.NaN], [0, 1])).toThrow(expect.objectContaining({ code: "E_LOGITS_NOT_FINITE" }));
  expect(ask([0, 0], [0])).toThrow(expect.objectContaining({ code: "E_NO_TOKEN_ALLOWED" }));
});

test("exploration as published: 0.5 × 0.9995 a row down to 0.1, and 0.2/√(N + 1)", () => {
  const exploration = new Exploration(2, { epsilon: true, countBonus: 0.2 });
  expect(exploration.epsilon).toBe(0.5);
  exploration.saw(1);
  exploration.dropped();
  for (let i = 0; i < 3; i++) exploration.saw(1);
  expect(exploration.counts).toEqual([0, 0]);
  exploration.stepped();
  expect(exploration.counts).toEqual([0, 3]);
  expect(exploration.epsilon).toBeCloseTo(0.5 * 0.9995 ** 3, 12);
  expect([...exploration.bonus!]).toEqual([0.2, 0.1]);
  exploration.counts = [5000, 5000];
  expect(exploration.epsilon).toBe(0.1);
  const half = Float64Array.of(0.8, 0.2, 0);
  exploration.mix(half, [0, 1]);
  expect([...half]).toEqual([0.9 * 0.8 + 0.05, 0.9 * 0.2 + 0.05, 0]);
  expect(new Exploration(2).active).toBe(false);
  expect(() => new Exploration(2, { countBonus: -1 })).toThrow(/countBonus/);
});

test("hashed text has length 1, knows words in any case, and is nearer to what shares them", () => {
  const of = (text: string) => hashedText(text, 256);
  const cosine = (a: string, b: string) => of(a).reduce((sum, x, i) => sum + x * of(b)[i]!, 0);
  expect(Math.hypot(...of("Who wrote it?"))).toBeCloseTo(1, 6);
  expect(of("WHO wrote it?")).toEqual(of("who  wrote it?"));
  expect(cosine("who wrote the book", "who wrote the song")).toBeGreaterThan(
    cosine("who wrote the book", "films about ships") + 0.3,
  );
  expect(of("").every((x) => x === 0)).toBe(true);
});
