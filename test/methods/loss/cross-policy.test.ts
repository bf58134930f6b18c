/** HACPO's loss against the spec's check vector, its edges, and its gradient against its surrogate. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crossPolicyRatio } from "../../../src/methods/loss/cross-policy.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import type { LossInput } from "../../../src/methods/method.ts";
import { between } from "../numbers.ts";

/** One token a text. */
const foreign = (
  learner: readonly number[],
  source: readonly number[],
  advantages: readonly number[],
): LossInput => ({
  lengths: learner.map(() => 1),
  logprobs: Float32Array.from(learner),
  oldLogprobs: Float32Array.from(source),
  advantages: Float32Array.from(advantages),
  given: Uint8Array.from(learner, () => 1),
  totals: { sequences: learner.length, tokens: learner.length },
});
const omega = 0.6 / 0.34;
const A = [1.239422, 1.239422, -0.631404, 1.239422].map((value) => value * omega);
const vector = foreign([-0.42, -0.31, -0.55, -0.3], [-0.3, -0.25, -0.33, -0.32], A);
const close = (values: readonly number[], digits = 5) => values.map((value) => expect.closeTo(value, digits));
const loss = crossPolicyRatio().loss;

/** −N · loss of each text alone: its term of J. */
const terms = (input: LossInput) =>
  [...input.lengths.keys()].map(
    (i) =>
      -input.totals.sequences *
      loss({
        ...input,
        lengths: [1],
        logprobs: input.logprobs.slice(i, i + 1),
        oldLogprobs: input.oldLogprobs.slice(i, i + 1),
        advantages: input.advantages.slice(i, i + 1),
        ...(input.given === undefined ? {} : { given: input.given.slice(i, i + 1) }),
      }).loss,
  );
const slopes = (input: LossInput) =>
  [...loss(input).gradients.logprobs].map((g) => -g * input.totals.sequences + 0);

describe("the check vector", () => {
  test("m = 0", () => {
    expect(terms(vector)).toEqual(close([1.720524, 1.939885, -0.717612, 2.187215]));
    expect(-loss(vector).loss).toBeCloseTo(1.282503, 5);
    expect(slopes(vector)).toEqual(close([1.720524, 1.939885, -0.717612, 0]));
  });

  test("m = 1: the least ratio has risen to .825", () => {
    const later = { ...vector, updatesDone: 1 };
    expect(terms(later)).toEqual(close([1.720524, 1.939885, -0.758381, 2.187215]));
    expect(-loss(later).loss).toBeCloseTo(1.272311, 5);
    expect(slopes(later)).toEqual(close([1.720524, 1.939885, 0, 0]));
  });

  test("cross ratios, and what was discarded", () => {
    const ratios = [0.88692, 0.941765, 0.802519, 1.020201];
    const { statistics } = loss({ ...vector, updatesDone: 1 });
    expect(statistics.tokens).toBe(4);
    expect(statistics.sums).toMatchObject({ given: 4, discarded: 2, clipFraction: 2 });
    expect(statistics.sums.crossRatio).toBeCloseTo(
      ratios.reduce((sum, s) => sum + s, 0),
      5,
    );
    expect(statistics.maxima.largestRatio).toBeCloseTo(1.020201, 5);
  });

  const own: LossInput = {
    ...foreign(
      [1.0001, 0.9995, 1.0006, 1].map(Math.log),
      [0, 0, 0, 0],
      [1.239422, ...new Array(3).fill(-0.631404)],
    ),
    given: Uint8Array.of(0, 0, 0, 0),
  };

  test("own texts: GSPO's", () => {
    expect(terms(own)).toEqual(close([1.239546, -0.631214, -0.631782, -0.631404], 4));
    expect(-loss(own).loss).toBeCloseTo(-0.163714, 5);
    expect(slopes(own)).toEqual(close([1.239546, 0, -0.631782, -0.631404]));
    expect(loss(own)).toEqual(sequenceRatio().loss(own));
  });

  test("both together", () => {
    const join = (name: "logprobs" | "oldLogprobs" | "advantages") =>
      Float32Array.of(...own[name], ...vector[name]);
    const both: LossInput = {
      lengths: new Array(8).fill(1),
      logprobs: join("logprobs"),
      oldLogprobs: join("oldLogprobs"),
      advantages: join("advantages"),
      given: Uint8Array.of(0, 0, 0, 0, 1, 1, 1, 1),
      totals: { sequences: 8, tokens: 8 },
    };
    expect(-2 * loss(both).loss).toBeCloseTo(1.282503 - 0.163714, 5);
    expect(slopes(both)).toEqual(
      [...slopes(own), ...slopes(vector)].map((value) => expect.closeTo(value, 5)),
    );
    expect(loss(both).statistics.tokens).toBe(8);
  });
});

describe("edges", () => {
  const one = (d: number, advantage: number, more: Partial<LossInput> = {}) => ({
    ...foreign([-1], [-1 - d], [advantage]),
    ...more,
  });

  test("a ratio of exactly 1 teaches, above 1 it does not, whatever the sign of A", () => {
    expect(slopes(one(0, 2))).toEqual([2]);
    for (const advantage of [2, -2]) {
      expect(slopes(one(0.01, advantage))).toEqual([0]);
      expect(slopes(one(-0.3, advantage))).toEqual([0]);
    }
  });

  test("δ = 1 keeps every ratio to 1; the interval closes at last", () => {
    const open = crossPolicyRatio({ delta: 1, deltaStep: 0 });
    expect(open.loss(one(-5, 1)).gradients.logprobs[0]).not.toBe(0);
    expect(slopes(one(-0.001, 1, { updatesDone: 7 }))[0]).not.toBe(0);
    expect(slopes(one(-0.001, 1, { updatesDone: 8 }))).toEqual([0]);
    expect(slopes(one(0, 1, { updatesDone: 80 }))).toEqual([1]);
  });

  test("log-ratios are cut at 10, and stay finite", () => {
    expect(loss(one(99, 1)).statistics.maxima.largestRatio).toBeCloseTo(Math.exp(10), 5);
    expect(crossPolicyRatio({ mostLogRatio: 1 }).loss(one(99, 1)).statistics.sums.ratio).toBeCloseTo(
      Math.E,
      6,
    );
  });

  test("masked tokens are in no mean; a text without tokens is nothing", () => {
    const two: LossInput = {
      ...foreign([-1.1, -9], [-1, -1], [1, 1]),
      lengths: [2],
      given: Uint8Array.of(1),
      mask: Uint8Array.of(1, 0),
      totals: { sequences: 1, tokens: 1 },
    };
    expect(-loss(two).loss).toBeCloseTo(Math.exp(-0.2), 6);
    expect(loss(two).gradients.logprobs[1]).toBe(0);
    expect(loss({ ...two, mask: Uint8Array.of(0, 0) })).toMatchObject({ loss: 0, statistics: { tokens: 0 } });
  });
});

test("gradients are those of the surrogate with sg for a constant", () => {
  fc.assert(
    fc.property(
      fc.array(between(-0.5, 0.2), { minLength: 1, maxLength: 5 }),
      between(-2, 2),
      fc.constantFrom(0, 1, 2.5),
      (gaps, advantage, alpha) => {
        const n = gaps.length;
        const mean = gaps.reduce((sum, gap) => sum + gap, 0) / n;
        const input: LossInput = {
          lengths: [n],
          logprobs: Float32Array.from(gaps, (gap) => gap - 1),
          oldLogprobs: new Float32Array(n).fill(-1),
          advantages: new Float32Array(n).fill(advantage),
          given: Uint8Array.of(1),
          totals: { sequences: 3, tokens: n },
        };
        const clip = (s: number) => Math.min(Math.max(s, 0.8), 1);
        // Next to an edge the difference is of both sides.
        fc.pre(Math.abs(mean) > 1e-3 && Math.abs(mean - Math.log(0.8)) > 1e-3);
        const constant = clip(Math.exp(mean)) ** alpha;
        const surrogate = (d: number) => (-clip(Math.exp(d)) * constant * advantage) / 3;
        const slope = (surrogate(mean + 1e-5) - surrogate(mean - 1e-5)) / 2e-5 / n;
        const found = crossPolicyRatio({ alpha }).loss(input);
        expect(found.loss).toBeCloseTo(surrogate(mean), 5);
        for (const g of found.gradients.logprobs) expect(g).toBeCloseTo(slope, 5);
      },
    ),
  );
});
