/** @file The filters against a naive implementation by sorting; the two-level draw against a plain scan. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ChoiceContext, TokenChooser } from "../../../../src/engine/local/sampling/choose-token.ts";
import { kthLargest, massThreshold } from "../../../../src/engine/local/sampling/selection.ts";
import { compileRules } from "../../../../src/engine/local/sampling/token-rules.ts";
import type { SamplingSettings } from "../../../../src/engine/policy.ts";

interface Case {
  readonly logits: readonly number[];
  readonly settings: SamplingSettings;
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  readonly allowed: readonly number[] | null;
}

/** Token probabilities by the documented order of steps, one naive step after the other. */
function naive({ logits, settings, prompt, output, allowed }: Case): number[] {
  const {
    temperature = 1,
    topK = 0,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    presencePenalty = 0,
    logitBias = {},
  } = settings;
  let z = logits.map((logit, id) => Math.fround(logit) + (logitBias[id] ?? 0));
  const seen = new Set([...prompt, ...output]);
  z = z.map((v, id) => (seen.has(id) ? (v > 0 ? v / repetitionPenalty : v * repetitionPenalty) : v));
  z = z.map((v, id) => (output.includes(id) ? v - presencePenalty : v));
  if (allowed) z = z.map((v, id) => (allowed.includes(id) ? v : Number.NEGATIVE_INFINITY));
  if (temperature === 0) {
    const best = z.indexOf(Math.max(...z));
    return z.map((_, id) => (id === best ? 1 : 0));
  }
  z = z.map((v) => v / temperature);
  if (topK > 0 && topK < z.length) {
    const kth = [...z].sort((a, b) => b - a)[topK - 1]!;
    z = z.map((v) => (v >= kth ? v : Number.NEGATIVE_INFINITY));
  }
  const normal = (scores: readonly number[]): number[] => {
    const largest = Math.max(...scores);
    const weights = scores.map((v) => Math.exp(v - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / total);
  };
  let p = normal(z);
  if (topP < 1) {
    const order = p.map((_, id) => id).sort((a, b) => p[b]! - p[a]! || a - b);
    const kept = new Set<number>();
    let mass = 0;
    for (const id of order) {
      if (mass >= topP - 1e-9) break;
      kept.add(id);
      mass += p[id]!;
    }
    p = p.map((v, id) => (kept.has(id) ? v : 0));
  }
  const largest = Math.max(...p);
  p = p.map((v) => (v >= minP * largest * (1 - 1e-12) ? v : 0));
  const total = p.reduce((a, b) => a + b, 0);
  return p.map((v) => v / total);
}

function context({ logits, settings, prompt, output, allowed }: Case): ChoiceContext {
  const seen = Int32Array.from(new Set([...prompt, ...output]));
  const produced = Int32Array.from(new Set(output));
  return {
    rules: compileRules(settings, logits.length),
    seen,
    seenCount: seen.length,
    produced,
    producedCount: produced.length,
    allowed: allowed ? Int32Array.from(allowed) : null,
  };
}

const softmax = (logits: readonly number[]): Float32Array => {
  const largest = Math.max(...logits);
  const weights = logits.map((z) => Math.exp(z - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return Float32Array.from(weights, (w) => w / total);
};

/** Index at which the running sum of `p` passes `uniform`, and the distance to the nearest border. */
function invert(p: ArrayLike<number>, uniform: number): { token: number; distance: number } {
  let mass = 0;
  let token = -1;
  let distance = 1;
  for (let id = 0; id < p.length; id++) {
    mass += p[id]!;
    if (p[id]! > 0) distance = Math.min(distance, Math.abs(mass - uniform));
    if (token < 0 && mass > uniform) token = id;
  }
  return { token, distance };
}

/** Few distinct values, so that ties are common; steps of 1/64, so that what is no tie is none after rounding. */
const logit = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.integer({ min: -800, max: 800 }).map((n) => n / 64),
);
const cases: fc.Arbitrary<Case> = fc.integer({ min: 2, max: 40 }).chain((size) => {
  const id = fc.integer({ min: 0, max: size - 1 });
  return fc.record({
    logits: fc.array(logit, { minLength: size, maxLength: size }),
    settings: fc.record(
      {
        temperature: fc.constantFrom(0, 0.3, 1, 1.7),
        topK: fc.integer({ min: 0, max: size + 2 }),
        topP: fc.constantFrom(1e-6, 0.1, 0.3, 0.5, 0.9, 0.999, 1),
        minP: fc.constantFrom(0, 0.01, 0.2, 0.9, 1),
        repetitionPenalty: fc.constantFrom(0.8, 1, 1.3),
        presencePenalty: fc.constantFrom(-1, 0, 0.7),
        logitBias: fc.dictionary(fc.nat({ max: size - 1 }).map(String), fc.constantFrom(-5, -1, 2)),
      },
      { requiredKeys: [] },
    ),
    prompt: fc.array(id, { maxLength: 6 }),
    output: fc.array(id, { maxLength: 6 }),
    allowed: fc.option(
      fc.uniqueArray(id, { minLength: 1, maxLength: size }).map((ids) => ids.sort((a, b) => a - b)),
    ),
  });
});

describe("choose", () => {
  it("draws from the distribution that the steps define", () => {
    fc.assert(
      fc.property(cases, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (given, uniform) => {
        const expected = naive(given);
        const chooser = new TokenChooser(given.logits.length, 0);
        // A row in the middle: neighbours must not leak in.
        const size = given.logits.length;
        const rows = new Float32Array(3 * size).fill(9);
        rows.set(given.logits, size);
        const plain = new Float32Array(3 * size);
        plain.set(softmax(given.logits), size);
        chooser.choose(rows, plain, 1, context(given), uniform);
        expect(expected[chooser.token]).toBeGreaterThan(0);
        const { token, distance } = invert(expected, uniform);
        if (distance > 1e-9) expect(chooser.token).toBe(token);
        if (given.settings.temperature === 0) expect(chooser.logprob).toBe(0);
        else expect(chooser.logprob).toBeCloseTo(Math.log(expected[chooser.token]!), 6);
        expect(chooser.plainLogprob).toBeCloseTo(Math.log(softmax(given.logits)[chooser.token]!), 5);
      }),
      { numRuns: 3000 },
    );
  });

  it("keeps the order of ids among equals: greedy and top-p take the lower one", () => {
    const given = (settings: SamplingSettings): Case => ({
      logits: [0, 2, 2, 2],
      settings,
      prompt: [],
      output: [],
      allowed: null,
    });
    const chooser = new TokenChooser(4, 0);
    for (const settings of [{ temperature: 0 }, { topP: 0.1 }]) {
      const rows = Float32Array.of(0, 2, 2, 2);
      chooser.choose(rows, softmax([...rows]), 0, context(given(settings)), 0.999);
      expect(chooser.token).toBe(1);
    }
  });

  it("finds the plain log-prob of a token whose probability underflows", () => {
    const logits = [0, -200];
    const chooser = new TokenChooser(2, 0);
    const given: Case = { logits, settings: {}, prompt: [], output: [], allowed: [1] };
    chooser.choose(Float32Array.from(logits), softmax(logits), 0, context(given), 0.5);
    expect(chooser).toMatchObject({ token: 1, logprob: 0, plainLogprob: -200 });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses a logit of %s by name", (bad) => {
    const chooser = new TokenChooser(3, 0);
    const given: Case = { logits: [0, 1, 2], settings: { topK: 2 }, prompt: [], output: [], allowed: null };
    const logits = Float32Array.of(0, bad, 1);
    expect(() => chooser.choose(logits, logits, 0, context(given), 0.5)).toThrow(
      expect.objectContaining({ code: "E_LOGITS_NOT_FINITE" }),
    );
    const sums = Float32Array.of(Number.NaN);
    expect(() => new TokenChooser(3, 3).draw(logits, logits, sums, null, 0, 0.5)).toThrow(
      expect.objectContaining({ code: "E_LOGITS_NOT_FINITE" }),
    );
  });

  it("says so when biases forbid every allowed token", () => {
    const settings = { logitBias: { 1: Number.NEGATIVE_INFINITY } };
    const given: Case = { logits: [0, 1, 2], settings, prompt: [], output: [], allowed: [1] };
    const logits = Float32Array.of(0, 1, 2);
    expect(() => new TokenChooser(3, 0).choose(logits, logits, 0, context(given), 0.5)).toThrow(
      expect.objectContaining({ code: "E_NO_TOKEN_ALLOWED" }),
    );
  });
});

describe("draw", () => {
  it("inverts the distribution by blocks as a scan does", () => {
    const block = 8;
    const weights = fc.array(fc.constantFrom<number[]>(0, 1e-7, 0.01, 1, 5), {
      minLength: 64,
      maxLength: 64,
    });
    fc.assert(
      fc.property(
        weights.filter((w) => w.some((v) => v > 0)),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (w, uniform) => {
          const total = w.reduce((a, b) => a + b, 0);
          const p = Float32Array.from(w, (v) => v / total);
          const sums = Float32Array.from({ length: 8 }, (_, b) =>
            p.subarray(b * block, (b + 1) * block).reduce((x, y) => x + y, 0),
          );
          const chooser = new TokenChooser(64, block);
          chooser.draw(p, p, sums, null, 0, uniform);
          expect(p[chooser.token]).toBeGreaterThan(0);
          const { token, distance } = invert(p, uniform);
          if (distance > 1e-6) expect(chooser.token).toBe(token);
          expect(chooser.logprob).toBeCloseTo(Math.log(p[chooser.token]!), 6);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("selection", () => {
  it("finds the k-th largest and the mass threshold of lists with ties", () => {
    const values = fc.array(fc.constantFrom<number[]>(0.1, 0.2, 0.3, 1, 2, 7), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(values, fc.double({ min: 0.001, max: 0.999, noNaN: true }), (list, share) => {
        const sorted = [...list].sort((a, b) => b - a);
        const k = Math.max(1, Math.round(share * list.length));
        expect(kthLargest(Float64Array.from(list), list.length, k)).toBe(sorted[k - 1]);
        const mass = share * list.reduce((a, b) => a + b, 0);
        let sum = 0;
        let count = 0;
        while (sum < mass) sum += sorted[count++]!;
        const found = massThreshold(Float64Array.from(list), list.length, mass, { value: 0, ties: 0 });
        const kept = list.filter((v) => v > found.value).length + found.ties;
        expect(Math.abs(kept - count)).toBeLessThanOrEqual(Math.abs(sum - mass) < 1e-9 ? 1 : 0);
      }),
      { numRuns: 2000 },
    );
  });
});
