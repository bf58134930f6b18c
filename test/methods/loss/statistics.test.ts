/** What losses and regularisers report: sums over the tokens that count, by hand, and the masked ones in none of them. */

import { describe, expect, test } from "vitest";
import { clippedImportance } from "../../../src/methods/loss/cispo.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import { policyGradient } from "../../../src/methods/loss/policy-gradient.ts";
import { preference } from "../../../src/methods/loss/preference.ts";
import { softGate } from "../../../src/methods/loss/sapo.ts";
import type { LossInput } from "../../../src/methods/method.ts";
import { entropyBonus } from "../../../src/methods/regulariser/entropy-bonus.ts";
import { epo } from "../../../src/methods/regulariser/epo.ts";
import { klPenalty } from "../../../src/methods/regulariser/kl.ts";
import { specInput } from "./kernel-checks.ts";

const mask = Uint8Array.of(1, 1, 0, 1);
const masked: LossInput = { ...specInput, mask };
// ℓ − ℓ_old of the tokens that count.
const differences = [0.3, -0.1, 0.1];
const sum = (of: (difference: number) => number) =>
  differences.reduce((total, difference) => total + of(difference), 0);
const close = (value: number) => expect.closeTo(value, 5);
const ownRatios = { ratio: close(sum(Math.exp)), largest: close(Math.exp(0.3)) };

describe.each([
  [clipped({ clipHigh: 0.28 }), { ...ownRatios, clipped: 1 }],
  [clippedImportance({ clipHigh: 0.2 }), { ...ownRatios, clipped: 1 }],
  [softGate(), { ...ownRatios, clipped: 0 }],
  [policyGradient(), { ...ownRatios, clipped: 0 }],
  // s = e^0.1 for two tokens, over 1.05; e^0.1 for the one that is left, with A < 0 in the range above.
  [
    sequenceRatio({ clipLow: 0.05, clipHigh: 0.05 }),
    { ratio: close(3 * Math.exp(0.1)), largest: close(Math.exp(0.1)), clipped: 2 },
  ],
] as const)("$0.name", (kernel, wanted) => {
  test("ratio, share clipped, KL to the policy that sampled, surprise", () => {
    const { statistics } = kernel.loss(masked);
    expect(statistics).toEqual({
      tokens: 3,
      sums: {
        ratio: wanted.ratio,
        clipFraction: wanted.clipped,
        kl: close(sum((difference) => Math.exp(-difference) + difference - 1)),
        entropy: close(0.7 + 2.1 + 1.4),
      },
      maxima: { largestRatio: wanted.largest },
    });
  });
});

test("DPO: masked tokens are in no margin; pairs that are told apart are counted by their tokens", () => {
  const input: LossInput = {
    ...masked,
    referenceLogprobs: Float32Array.of(-1, -2, -9, -1.5),
    links: [0, 0],
  };
  // Chosen: 0.3 − 0.1; rejected, one token left: 0.1.
  const margin = 0.2 - 0.1;
  const { loss, gradients, statistics } = preference({ beta: 0.1, likelihoodWeight: 0.5 }).loss(input);
  expect(loss).toBeCloseTo(Math.log1p(Math.exp(-0.1 * margin)) + (0.5 * (0.7 + 2.1)) / 2, 5);
  const push = 0.1 / (1 + Math.exp(0.1 * margin));
  expect([...gradients.logprobs]).toEqual([-push - 0.25, -push - 0.25, 0, push].map(close));
  expect(statistics).toMatchObject({
    tokens: 3,
    sums: { pairAccuracy: 3, pairMargin: close(3 * margin), clipFraction: 0 },
  });
  const turned = preference().loss({ ...input, advantages: input.advantages.map((a) => -a) });
  expect(turned.statistics.sums).toMatchObject({ pairAccuracy: 0, pairMargin: close(-3 * margin) });
  expect(preference().needs).toEqual({ reference: true });
});

test("KL penalty: the mean of k3 whatever the estimator", () => {
  const input = { ...masked, referenceLogprobs: Float32Array.of(-1, -2, -9, -1.5) };
  const k3 = sum((difference) => Math.exp(-difference) - 1 + difference);
  for (const estimator of ["k2", "k3"] as const) {
    const { statistics } = klPenalty({ estimator }).loss(input);
    expect(statistics).toEqual({ tokens: 3, sums: { referenceKl: close(k3) }, maxima: {} });
  }
});

test("entropy bonus and EPO: exact entropies, masked ones left out", () => {
  const input = { ...masked, entropies: Float32Array.of(0.5, 1, 7, 2), policy: "small" };
  expect(entropyBonus().loss(input).statistics).toEqual({
    tokens: 3,
    sums: { exactEntropy: 3.5 },
    maxima: {},
  });
  const part = epo();
  const observed = { step: 1, steps: 10, groups: [], statistics: { small: { epoEntropy: 1 } } };
  expect(part.loss(input).statistics.sums).toEqual({ epoEntropy: 3.5, epoOutside: 0 });
  part.observe!(observed);
  // The corridor around 1 is [0.5, 1.5]: one token is above it.
  const { statistics, gradients } = part.loss({ ...input, step: 2 });
  expect(statistics).toEqual({ tokens: 3, sums: { epoEntropy: 3.5, epoOutside: 1 }, maxima: {} });
  expect(gradients.entropies![2]).toBe(0);
});

test.each([klPenalty(), entropyBonus(), epo()])("$name holds tokens without advantage too", ({ needs }) => {
  expect(needs).toMatchObject({ tokensWithoutAdvantage: true });
});

test.each([clippedImportance(), softGate(), policyGradient(), sequenceRatio()])(
  "$name: a loss that is not a number is a fault, with what it was of",
  (kernel) => {
    const logprobs = specInput.logprobs.slice();
    logprobs[1] = Number.NaN;
    expect(() => kernel.loss({ ...specInput, logprobs })).toThrow(
      expect.objectContaining({ code: "E_LOSS_NOT_FINITE" }),
    );
  },
);
