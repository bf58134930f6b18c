/** Truncated importance weights of samples of older weights: they multiply the policy loss, and are in no ratio. */

import { describe, expect, test } from "vitest";
import { clippedImportance } from "../../../src/methods/loss/cispo.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import { likelihood } from "../../../src/methods/loss/likelihood.ts";
import { policyGradient } from "../../../src/methods/loss/policy-gradient.ts";
import { softGate } from "../../../src/methods/loss/sapo.ts";
import type { LossInput } from "../../../src/methods/method.ts";

// MARS² (truncated importance sampling, bound 2): a sampler whose log-probs are not those of the weights before the update.
const old = [-1, -2, -0.5, -1.5, -0.7];
const sampler = [-1.1, -1.9, -1.5, -1.5, -0.8];
const plain: LossInput = {
  lengths: [3, 2],
  logprobs: Float32Array.of(-0.9, -1.8, -0.4, -1.4, -0.9),
  oldLogprobs: Float32Array.from(old),
  advantages: Float32Array.of(1, 1, 1, -1, -1),
  totals: { sequences: 2, tokens: 5 },
};
const weights = Float32Array.from(old, (l, t) => Math.min(Math.exp(l - sampler[t]!), 2));
const weighted: LossInput = { ...plain, importance: weights };

describe("golden values", () => {
  const sequence = sequenceRatio({ clipLow: 0.2, clipHigh: 0.2 });
  test("GSPO, without and with weights", () => {
    expect(sequence.loss(plain).loss).toBeCloseTo(-0.095701, 5);
    expect(sequence.loss(weighted).loss).toBeCloseTo(-0.263035, 5);
  });

  test("GSPO's gradient: the mean weight of the sequence, on each of its tokens", () => {
    const g = sequence.loss(weighted).gradients.logprobs;
    const first = (-Math.exp(0.4 / 3) * (weights[0]! + weights[1]! + weights[2]!)) / 3 / 6;
    const second = (Math.exp(-0.1 / 2) * (weights[3]! + weights[4]!)) / 2 / 4;
    expect([...g]).toEqual([first, first, first, second, second].map((value) => expect.closeTo(value, 5)));
  });

  test("the token form weighs each token by itself", () => {
    const token = sequenceRatio({ clipLow: 0.2, clipHigh: 0.2, form: "token" }).loss(weighted);
    expect(token.loss).toBeCloseTo(-0.263035, 5);
    const s = Math.exp(0.4 / 3);
    expect(token.gradients.logprobs[2]).toBeCloseTo((-2 * s) / 6, 5);
  });

  test("the clipped surrogate, without and with weights", () => {
    expect(clipped().loss(plain).loss).toBeCloseTo(-0.297288, 5);
    expect(clipped().loss(weighted).loss).toBeCloseTo(-0.501508, 5);
  });
});

describe.each([
  clipped({ dualClip: 3 }),
  clippedImportance(),
  softGate(),
  policyGradient(),
  sequenceRatio({ clipLow: 0.2, clipHigh: 0.2 }),
  sequenceRatio({ clipLow: 0.2, clipHigh: 0.2, form: "token" }),
  likelihood(),
])("$name", (kernel) => {
  const positive = (input: LossInput) => ({
    ...input,
    ...(kernel.name === "likelihood" ? { advantages: Float32Array.of(1, 1, 1, 0.5, 0.5) } : {}),
  });

  test("weights of one number multiply loss and gradient by it, and no statistic", () => {
    const one = kernel.loss(positive(plain));
    const twice = kernel.loss(positive({ ...plain, importance: weights.map(() => 2) }));
    expect(one.loss).not.toBe(0);
    expect(twice.loss).toBeCloseTo(2 * one.loss, 5);
    const doubled = [...one.gradients.logprobs].map((value) => expect.closeTo(2 * value, 5));
    expect([...twice.gradients.logprobs]).toEqual(doubled);
    expect(twice.statistics).toEqual(one.statistics);
  });

  test("a sequence of weight 0 teaches nothing, and still counts in the normaliser", () => {
    const input = positive({ ...plain, importance: Float32Array.of(0, 0, 0, 1, 1) });
    const { loss, gradients } = kernel.loss(input);
    const alone = kernel.loss({
      ...input,
      lengths: [2],
      logprobs: input.logprobs.slice(3),
      oldLogprobs: input.oldLogprobs.slice(3),
      advantages: input.advantages.slice(3),
      importance: Float32Array.of(1, 1),
    });
    expect(loss).toBeCloseTo(alone.loss, 6);
    expect([...gradients.logprobs].map((value) => value + 0)).toEqual([0, 0, 0, ...alone.gradients.logprobs]);
  });
});
