/** SAPO's gate, likelihood and preference as loss kernels. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { likelihood } from "../../../src/methods/loss/likelihood.ts";
import { policyGradient } from "../../../src/methods/loss/policy-gradient.ts";
import { preference } from "../../../src/methods/loss/preference.ts";
import { softGate } from "../../../src/methods/loss/sapo.ts";
import type { LossInput } from "../../../src/methods/method.ts";
import {
  checkGradients,
  checkKernel,
  checkMask,
  checkSplit,
  lossInputs,
  specInput,
} from "./kernel-checks.ts";

const near = (values: Iterable<number>, expected: readonly number[], digits = 5) =>
  expect([...values]).toEqual(expected.map((value) => expect.closeTo(value, digits)));

describe("soft gate", () => {
  test("by hand: another temperature for each sign", () => {
    const { loss, gradients } = softGate({ positive: 2, negative: 3, aggregation: "token-mean" }).loss(
      specInput,
    );
    const sigma = (x: number) => 1 / (1 + Math.exp(-x));
    const ratios = [0.3, -0.1, -0.5, 0.1].map(Math.exp);
    const terms = ratios.map((ratio, t) => {
      const tau = t < 2 ? 2 : 3;
      const p = sigma(tau * (ratio - 1));
      const sign = t < 2 ? -1 : 1;
      return { loss: (sign * 4 * p) / tau / 4, slope: (sign * ratio * 4 * p * (1 - p)) / 4 };
    });
    expect(loss).toBeCloseTo(
      terms.reduce((sum, term) => sum + term.loss, 0),
      5,
    );
    near(
      gradients.logprobs,
      terms.map(({ slope }) => slope),
    );
  });
  test("gradients, splits, masks", () => checkKernel(softGate().loss));
  test("on-policy it is the policy gradient; far away gradients fade on both sides", () => {
    const onPolicy = { ...specInput, oldLogprobs: specInput.logprobs };
    near(softGate().loss(onPolicy).gradients.logprobs, [
      ...policyGradient({ aggregation: "sequence-mean" }).loss(onPolicy).gradients.logprobs,
    ]);
    const far = (off: number) =>
      Math.abs(
        softGate({ positive: 5 }).loss({
          ...specInput,
          lengths: [1],
          logprobs: Float32Array.of(off),
          oldLogprobs: Float32Array.of(0),
          advantages: Float32Array.of(1),
        }).gradients.logprobs[0]!,
      );
    expect(far(1)).toBeLessThan(far(0));
    expect(far(-1)).toBeLessThan(far(0));
    expect(() => softGate({ positive: 0 })).toThrow(/positive 0/);
  });
});

describe("likelihood", () => {
  const weighted = (input: LossInput): LossInput => ({
    ...input,
    advantages: input.advantages.map(Math.abs),
  });
  test("−a ℓ", () => {
    const { loss, gradients } = likelihood().loss(weighted(specInput));
    expect(loss).toBeCloseTo((0.7 + 2.1 + 1.0 + 1.4) / 4, 6);
    near(gradients.logprobs, Array(4).fill(-0.25));
  });
  test("gradients, splits, masks", () => {
    checkKernel((input) => likelihood({ aggregation: "sequence-mean" }).loss(weighted(input)));
  });
  test("a negative weight is refused", () => {
    expect(() => likelihood().loss(specInput)).toThrow(/weight -1/);
  });
});

describe("preference", () => {
  /** One pair; chosen first. */
  const pair = (chosen: number, chosenReference: number, rejected: number, rejectedReference: number) => ({
    lengths: [1, 1],
    logprobs: Float32Array.of(chosen, rejected),
    oldLogprobs: Float32Array.of(chosen, rejected),
    referenceLogprobs: Float32Array.of(chosenReference, rejectedReference),
    advantages: Float32Array.of(1, -1),
    links: [0, 0],
    totals: { sequences: 2, tokens: 2 },
  });

  test("golden values of CODPO: margin 0.2, loss 0.598139; regulariser +0.5 with 20 chosen tokens", () => {
    const input = pair(-10, -9, -14, -11);
    const { loss, gradients, statistics } = preference().loss(input);
    expect(loss).toBeCloseTo(0.598139, 5);
    const push = 0.1 / (1 + Math.exp(0.2));
    near(gradients.logprobs, [-push, push]);
    expect(statistics.sums).toMatchObject({ pairAccuracy: 2, pairMargin: 4 });
    const long = {
      ...input,
      lengths: [20, 1],
      logprobs: Float32Array.from([...Array(20).fill(-0.5), -14]),
      oldLogprobs: new Float32Array(21),
      referenceLogprobs: Float32Array.from([...Array(20).fill(-0.45), -11]),
      advantages: Float32Array.from([...Array(20).fill(1), -1]),
    };
    expect(preference({ likelihoodWeight: 1 }).loss(long).loss).toBeCloseTo(0.598139 + 0.5, 4);
  });

  test("at the start the loss is log 2", () => {
    expect(preference().loss(pair(-3, -3, -4, -4)).loss).toBeCloseTo(Math.LN2, 6);
  });

  test("no overflow for margins of any size", () => {
    expect(preference({ beta: 10 }).loss(pair(-900, -1, -1, -900)).loss).toBeCloseTo(10 * 1798, 0);
    expect(preference({ beta: 10 }).loss(pair(-1, -900, -900, -1)).loss).toBeCloseTo(0, 6);
  });

  /** Pairs of one or more calls, chosen and rejected. */
  const pairs = lossInputs({ reference: true, equalInSequence: true }).map((input): LossInput => {
    const links = input.lengths.map((_, i) => Math.floor(i / 2));
    const odd = input.lengths.length % 2 === 1;
    let at = 0;
    const advantages = input.advantages.slice();
    const mask = new Uint8Array(input.mask!.length).fill(1);
    input.lengths.forEach((length, i) => {
      const alone = odd && i === input.lengths.length - 1;
      advantages.fill(alone ? 0 : i % 2 === 0 ? 1 : -1, at, at + length);
      at += length;
    });
    return { ...input, links, advantages, mask };
  });

  test("gradients and splits, with and without the likelihood term", () => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(0, 0.5), (input, likelihoodWeight) => {
        const { loss } = preference({ beta: 0.7, likelihoodWeight });
        checkGradients(loss, input);
        checkSplit(loss, input);
        checkMask(loss, input);
      }),
      { numRuns: 60 },
    );
  });

  test("half a pair is refused, a call without advantage alone is not", () => {
    const input = pair(-1, -1, -2, -2);
    expect(() => preference().loss({ ...input, links: [-1, -1] })).toThrow(/no rejected/);
    expect(() => preference().loss({ ...input, advantages: Float32Array.of(-1, -1) })).toThrow(/no chosen/);
    expect(preference().loss({ ...input, advantages: new Float32Array(2) }).loss).toBe(0);
    const { referenceLogprobs: _, ...without } = input;
    expect(() => preference().loss(without)).toThrow(/referenceLogprobs is missing/);
    expect(() => preference({ beta: 0 })).toThrow(/beta 0/);
  });
});
