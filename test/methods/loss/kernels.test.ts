/** Policy gradient, CISPO and GSPO as loss kernels. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clippedImportance } from "../../../src/methods/loss/cispo.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import { policyGradient } from "../../../src/methods/loss/policy-gradient.ts";
import { checkKernel, checkMask, checkSplit, lossInputs, specInput } from "./kernel-checks.ts";

const near = (values: Iterable<number>, expected: readonly number[]) =>
  expect([...values]).toEqual(expected.map((value) => expect.closeTo(value, 5)));

describe("clipped", () => {
  const kernel = clipped({ clipLow: 0.2, clipHigh: 0.28 });
  test("golden values", () => {
    const { loss, gradients } = kernel.loss(specInput);
    expect(loss).toBeCloseTo(-0.069917, 5);
    near(gradients.logprobs, [0, -0.226209, 0, 0.276293]);
  });
  test("gradients, splits, masks", () => checkKernel(kernel.loss));
  test("dual clip: gradients, splits, masks", () =>
    checkKernel(clipped({ dualClip: 1.3, aggregation: "sequence-mean" }).loss));
});

describe("policy gradient", () => {
  test("−A ℓ, summed over sequences and divided by their number", () => {
    const { loss, gradients, statistics } = policyGradient().loss(specInput);
    expect(loss).toBeCloseTo((-(-0.7 - 2.1) + (-1.0 - 1.4)) / 2, 6);
    near(gradients.logprobs, [-0.5, -0.5, 0.5, 0.5]);
    expect(statistics).toMatchObject({ tokens: 4, sums: { clipFraction: 0 } });
  });
  test.each(["token-mean", "sequence-mean", "sequence-sum", { constant: 9 }] as const)(
    "%j: gradients, splits, masks",
    (aggregation) => checkKernel(policyGradient({ aggregation }).loss),
  );
});

describe("CISPO", () => {
  test("the weight is clipped and has no gradient of its own", () => {
    const { loss, gradients, statistics } = clippedImportance({ clipLow: 0.2, clipHigh: 0.28 }).loss(
      specInput,
    );
    // ρ = e^0.3 → 1.28, e^−0.1, e^−0.5 → 0.8, e^0.1
    const weights = [1.28, Math.exp(-0.1), 0.8, Math.exp(0.1)];
    near(gradients.logprobs, [-weights[0]! / 4, -weights[1]! / 4, weights[2]! / 4, weights[3]! / 4]);
    const logprobs = [-0.7, -2.1, -1.0, -1.4];
    const value = weights.reduce((sum, w, t) => sum - (w * (t < 2 ? 1 : -1) * logprobs[t]!) / 4, 0);
    expect(loss).toBeCloseTo(value, 5);
    expect(statistics.sums.clipFraction).toBe(2);
  });
  test("no token loses its gradient, whatever its ratio", () => {
    fc.assert(
      fc.property(lossInputs({ spread: 3 }), (input) => {
        const { gradients } = clippedImportance({ clipLow: 0.2, clipHigh: 0.2 }).loss(input);
        gradients.logprobs.forEach((slope, t) => {
          if (input.mask![t] === 1 && input.advantages[t] !== 0)
            expect(Math.sign(slope)).toBe(-Math.sign(input.advantages[t]!));
        });
      }),
    );
  });
  test("on-policy it is the policy gradient", () => {
    const onPolicy = { ...specInput, oldLogprobs: specInput.logprobs };
    const aggregation = "token-mean";
    near(
      clippedImportance().loss(onPolicy).gradients.logprobs,
      Array.from(policyGradient({ aggregation }).loss(onPolicy).gradients.logprobs),
    );
  });
  test("splits, masks", () => {
    fc.assert(
      fc.property(lossInputs(), (input) => {
        checkSplit(clippedImportance().loss, input);
        checkMask(clippedImportance().loss, input);
      }),
    );
  });
});

describe("GSPO", () => {
  const wide = { clipLow: 10, clipHigh: 10 };
  test("golden ratios: length-normalised and not", () => {
    const one = (length: "mean" | "sum", row: 0 | 1) =>
      sequenceRatio({ ...wide, length }).loss({
        lengths: [2],
        logprobs: specInput.logprobs.slice(2 * row, 2 * row + 2),
        oldLogprobs: specInput.oldLogprobs.slice(2 * row, 2 * row + 2),
        advantages: Float32Array.of(-1, -1),
        totals: { sequences: 1, tokens: 2 },
      }).loss;
    near([one("mean", 0), one("mean", 1)], [1.105171, 0.818731]);
    near([one("sum", 0), one("sum", 1)], [1.221403, 0.67032]);
  });

  test("every token of a sequence has the same gradient, −A s / (N |o|)", () => {
    const { gradients, loss } = sequenceRatio(wide).loss(specInput);
    near(gradients.logprobs, [-1.105171 / 4, -1.105171 / 4, 0.818731 / 4, 0.818731 / 4]);
    expect(loss).toBeCloseTo((-1.105171 + 0.818731) / 2, 5);
  });

  test("a sequence is clipped as one", () => {
    const { gradients, statistics } = sequenceRatio({ clipLow: 0.01, clipHigh: 0.05 }).loss(specInput);
    // s = 1.105 > 1.05 with A > 0, s = 0.819 < 0.99 with A < 0: both are clipped.
    near(gradients.logprobs, [0, 0, 0, 0]);
    expect(statistics.sums.clipFraction).toBe(4);
  });

  test.each([
    { form: "sequence", over: "call", length: "mean" },
    { form: "sequence", over: "call", length: "sum" },
    { form: "sequence", over: "trajectory", length: "mean" },
  ] as const)("%j: gradients, splits, masks", (settings) => {
    checkKernel(sequenceRatio({ ...settings, clipLow: 0.3, clipHigh: 0.3 }).loss, {
      equalInSequence: true,
      links: true,
    });
  });

  test("the token form: the same value and gradient with one advantage a sequence", () => {
    fc.assert(
      fc.property(lossInputs({ equalInSequence: true }), fc.constantFrom("mean", "sum"), (input, length) => {
        const plain = { ...input, importance: input.importance!.map(() => 1.5) };
        const [sequence, token] = [
          sequenceRatio({ ...wide, length }).loss(plain),
          sequenceRatio({ ...wide, length, form: "token" }).loss(plain),
        ];
        expect(token.loss).toBeCloseTo(sequence.loss, 5);
        near(token.gradients.logprobs, [...sequence.gradients.logprobs]);
      }),
    );
  });

  test("the token form gives each token its own advantage, and the ratio of all", () => {
    const input = { ...specInput, advantages: Float32Array.of(1, 3, -1, 0) };
    const { gradients } = sequenceRatio({ ...wide, form: "token" }).loss(input);
    near(gradients.logprobs, [-1.105171 / 4, (-3 * 1.105171) / 4, 0.818731 / 4, 0]);
  });

  test("over a trajectory all its calls have one ratio; a call alone is as before", () => {
    const linked = { ...specInput, advantages: Float32Array.of(-1, -1, -1, -1), links: [0, 0] };
    const s = Math.exp((0.3 - 0.1 - 0.5 + 0.1) / 4);
    const { loss, gradients } = sequenceRatio({ ...wide, over: "trajectory" }).loss(linked);
    expect(loss).toBeCloseTo(s, 5);
    near(gradients.logprobs, Array(4).fill(s / 4));
    const alone = { ...linked, links: [-1, -1] };
    expect(sequenceRatio({ ...wide, over: "trajectory" }).loss(alone)).toEqual(
      sequenceRatio(wide).loss({ ...alone }),
    );
  });
});

test("settings and shapes are checked", () => {
  expect(() => sequenceRatio({ clipLow: -1 })).toThrow(/clipLow -1/);
  expect(() => sequenceRatio({ form: "tokens" as "token" })).toThrow(/"sequence" or "token"/);
  expect(() => clippedImportance({ clipHigh: Number.NaN })).toThrow(/clipHigh NaN/);
  expect(() => policyGradient({ aggregation: "mean" as "token-mean" })).toThrow(/aggregation/);
  for (const kernel of [policyGradient(), clippedImportance(), sequenceRatio()]) {
    expect(() => kernel.loss({ ...specInput, advantages: new Float32Array(3) })).toThrow(/advantages has 3/);
    expect(() => kernel.loss({ ...specInput, logprobs: specInput.logprobs.map(() => Number.NaN) })).toThrow(
      /is NaN/,
    );
    expect(kernel.loss({ ...specInput, mask: new Uint8Array(4) }).loss).toBe(0);
  }
});
