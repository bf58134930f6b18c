/** KL penalty, entropy bonus, EPO and the entropy hinge. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BatchCall, LossInput, StepFacts } from "../../../src/methods/method.ts";
import { entropyBonus } from "../../../src/methods/regulariser/entropy-bonus.ts";
import { entropyHinge } from "../../../src/methods/regulariser/entropy-hinge.ts";
import { type EpoSettings, epo } from "../../../src/methods/regulariser/epo.ts";
import { klPenalty } from "../../../src/methods/regulariser/kl.ts";
import { checkKernel, lossInputs } from "../loss/kernel-checks.ts";

const near = (values: Iterable<number>, expected: readonly number[], digits = 6) =>
  expect([...values]).toEqual(expected.map((value) => expect.closeTo(value, digits)));

describe("KL penalty", () => {
  const input: LossInput = {
    lengths: [2],
    logprobs: Float32Array.of(-1, -2),
    oldLogprobs: Float32Array.of(-1, -2),
    referenceLogprobs: Float32Array.of(-1.5, -1.8),
    advantages: new Float32Array(2),
    totals: { sequences: 1, tokens: 2 },
  };
  test("k3 and k2, and their gradients", () => {
    const k3 = klPenalty({ coefficient: 0.1 }).loss(input);
    const value = (d: number) => Math.exp(-d) - 1 + d;
    expect(k3.loss).toBeCloseTo((0.1 * (value(0.5) + value(-0.2))) / 2, 6);
    near(k3.gradients.logprobs, [0.05 * (1 - Math.exp(-0.5)), 0.05 * (1 - Math.exp(0.2))]);
    const k2 = klPenalty({ coefficient: 0.1, estimator: "k2" }).loss(input);
    near([k2.loss, ...k2.gradients.logprobs], [0.05 * (0.125 + 0.02), 0.05 * 0.5, 0.05 * -0.2]);
  });
  test.each(["k2", "k3"] as const)("%s: gradients, splits, masks", (estimator) =>
    checkKernel(klPenalty({ estimator, aggregation: "sequence-mean" }).loss, { reference: true }),
  );
  test("needs a reference, and refuses k1", () => {
    const { referenceLogprobs: _, ...without } = input;
    expect(() => klPenalty().loss(without)).toThrow(/referenceLogprobs is missing/);
    expect(() => klPenalty({ estimator: "k1" as "k2" })).toThrow(/k1/);
    expect(klPenalty().needs).toEqual({ reference: true, tokensWithoutAdvantage: true });
  });
});

test("entropy bonus: gradients, splits, masks", () => {
  checkKernel(entropyBonus({ coefficient: 0.3 }).loss, { entropies: true });
  checkKernel(entropyBonus({ coefficient: 0.3, aggregation: "sequence-mean" }).loss, { entropies: true });
  const { gradients } = entropyBonus({ coefficient: 0.3 }).loss({
    lengths: [2],
    logprobs: new Float32Array(2),
    oldLogprobs: new Float32Array(2),
    advantages: new Float32Array(2),
    entropies: Float32Array.of(1, 2),
    totals: { sequences: 1, tokens: 2 },
  });
  near(gradients.entropies!, [-0.15, -0.15]);
  expect(() => entropyBonus({ coefficient: -1 })).toThrow(/coefficient -1/);
});

describe("EPO", () => {
  const input = (step: number, policy = "p"): LossInput => ({
    lengths: [3],
    logprobs: new Float32Array(3),
    oldLogprobs: new Float32Array(3),
    advantages: new Float32Array(3),
    entropies: Float32Array.of(0.2, 1, 1.9),
    totals: { sequences: 1, tokens: 3 },
    policy,
    step,
  });
  const facts = (epoEntropy: number, policy = "p"): StepFacts => ({
    step: 1,
    steps: 100,
    groups: [],
    statistics: { [policy]: { epoEntropy }, other: {} },
  });
  const epoAfter = (settings: EpoSettings, ...entropies: readonly number[]) => {
    const part = epo(settings);
    for (const entropy of entropies) part.observe!(facts(entropy));
    return part;
  };

  test("golden values at step 50 of 100, with H̄ = 1", () => {
    const { loss, gradients, statistics } = epoAfter({}, 1).loss(input(51));
    expect(loss).toBeCloseTo(-0.001001, 6);
    near(gradients.entropies!, [-0.000378929, -0.000333333, -0.000287737], 9);
    expect(statistics.sums).toEqual({ epoEntropy: expect.closeTo(3.1, 6), epoOutside: 2 });
    // β_0 = 2: the smoothing weighs more at the beginning.
    expect(epoAfter({}, 1).loss(input(1)).loss).toBeCloseTo(-0.001 * (1.033333 - 2 * 0.023333), 7);
  });

  test("half of an odd number of steps is rounded down; one step has no half", () => {
    for (const [steps, half] of [
      [5, 2],
      [1, 1],
    ] as const) {
      const part = epo();
      part.observe!({ ...facts(1), steps });
      const beta = 1 + Math.exp(-1 / half);
      expect(part.loss(input(2)).loss).toBeCloseTo(-0.001 * (1.033333 - beta * 0.023333), 8);
    }
  });

  test("without a past it is an entropy bonus", () => {
    const { loss, gradients } = epo().loss(input(1));
    expect(loss).toBeCloseTo(-0.001033333, 8);
    near(gradients.entropies!, Array(3).fill(-0.000333333), 9);
  });

  test("H̄ is the mean over earlier steps of the policy's own entropies", () => {
    expect(epoAfter({}, 0.5, 1.5).loss(input(51)).loss).toBe(epoAfter({}, 1).loss(input(51)).loss);
    expect(epoAfter({}, 1).loss(input(51, "q")).loss).toBeCloseTo(-0.001033333, 8);
  });

  test("gradients, splits, masks", () => {
    const part = epoAfter({ coefficient: 0.5, smoothing: 0.7 }, 1.1);
    checkKernel((one) => part.loss({ ...one, policy: "p", step: 3 }), { entropies: true });
  });

  test("the step form counts what is outside, and its penalty has no gradient", () => {
    const { loss, gradients } = epoAfter({ form: "step" }, 1).loss(input(51));
    expect(loss).toBeCloseTo(-0.001 * (1.033333 - 1.367879 * 0.1 * (2 / 3)), 7);
    near(gradients.entropies!, Array(3).fill(-0.000333333), 9);
  });

  test("its state comes back, and nonsense is refused", () => {
    const part = epoAfter({}, 0.4, 0.9);
    const again = epo();
    again.restore!(JSON.parse(JSON.stringify(part.state!())));
    expect(again.loss(input(7))).toEqual(part.loss(input(7)));
    for (const state of [
      null,
      3,
      {},
      { steps: 1, history: { p: { count: 0, sum: 1 } } },
      { steps: 1, history: { p: 1 } },
    ])
      expect(() => epo().restore!(state)).toThrow(/entropies of epo/);
    expect(() => epo({ corridor: [2, 1] })).toThrow(/corridor/);
    expect(() => epo({ form: "hard" as "step" })).toThrow(/"hinge" or "step"/);
  });
});

describe("entropy hinge", () => {
  const call = (dataset: string, ...surprises: readonly number[]): BatchCall => ({
    episode: "e",
    agent: "a",
    occurrence: 0,
    scope: "",
    order: 0,
    length: surprises.length,
    credit: 0,
    dataset,
    oldLogprobs: Float32Array.from(surprises, (surprise) => -surprise),
  });
  const inputOf = (batch: readonly BatchCall[], prepared: unknown): LossInput => {
    const logprobs = Float32Array.from(batch.flatMap(({ oldLogprobs }) => [...oldLogprobs!]));
    return {
      lengths: batch.map(({ length }) => length),
      places: batch.map((_, i) => i),
      logprobs,
      oldLogprobs: logprobs,
      advantages: new Float32Array(logprobs.length),
      totals: { sequences: batch.length, tokens: logprobs.length },
      prepared,
    };
  };
  const run = (part: ReturnType<typeof entropyHinge>, ...batch: readonly BatchCall[]) =>
    part.loss(inputOf(batch, part.prepare!(batch)));

  test("golden values: 0.1, 0 and 0.3 at E = 0.1, 0.4 and 0.9", () => {
    const part = entropyHinge({ coefficient: 1 });
    near(
      [0.1, 0.4, 0.9].map((e) => run(part, call("x", e, e), call("x", e)).loss),
      [0.1, 0, 0.3],
    );
  });

  test("each kind by itself, over all its tokens, and the mean of the kinds", () => {
    const part = entropyHinge({ coefficient: 1 });
    const batch = [call("x", 0.5, 1.5), call("y", 0.1), call("x", 0.7)];
    const { loss, gradients } = run(part, ...batch);
    // x: E = 0.9, y: E = 0.1.
    expect(loss).toBeCloseTo((0.3 + 0.1) / 2, 6);
    near(gradients.logprobs, [-1 / 6, -1 / 6, 1 / 2, -1 / 6]);
  });

  test("gradients and splits", () => {
    fc.assert(
      fc.property(
        lossInputs(),
        fc.array(fc.constantFrom("x", "y"), { minLength: 4, maxLength: 4 }),
        (input, kinds) => {
          const part = entropyHinge({ coefficient: 0.7 });
          let at = 0;
          const batch = input.lengths.map((length, i) => {
            at += length;
            return call(kinds[i]!, ...input.oldLogprobs.slice(at - length, at).map((l) => -l));
          });
          const prepared = part.prepare!(batch);
          const whole = { ...input, prepared, places: input.lengths.map((_, i) => i) };
          const { gradients, loss } = part.loss(whole);
          let sum = 0;
          const starts = input.lengths.map((_, i) => input.lengths.slice(0, i).reduce((a, b) => a + b, 0));
          input.lengths.forEach((length, i) => {
            const [from, to] = [starts[i]!, starts[i]! + length];
            const one = part.loss({
              ...whole,
              lengths: [length],
              places: [i],
              logprobs: input.logprobs.slice(from, to),
              oldLogprobs: input.oldLogprobs.slice(from, to),
              advantages: input.advantages.slice(from, to),
              mask: input.mask!.slice(from, to),
            });
            sum += one.loss;
            near(one.gradients.logprobs, [...gradients.logprobs.slice(from, to)]);
          });
          expect(sum).toBeCloseTo(loss, 5);
          input.logprobs.forEach((l, t) => {
            const moved = input.logprobs.slice();
            moved[t] = l + 0.25;
            const slope = (part.loss({ ...whole, logprobs: moved }).loss - loss) / (moved[t]! - l);
            expect(gradients.logprobs[t]).toBeCloseTo(slope, 4);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test("minibatches of one size move the weights as much as the whole batch, each by itself", () => {
    const part = entropyHinge({ coefficient: 1 });
    const batch = [call("x", 0.9, 0.9), call("y", 0.1), call("x", 0.9, 0.9), call("y", 0.1)];
    const prepared = part.prepare!(batch);
    const whole = part.loss(inputOf(batch, prepared));
    expect(whole.loss).toBeCloseTo((0.3 + 0.1) / 2, 6);
    for (const from of [0, 2]) {
      const places = [from, from + 1];
      const half = part.loss({ ...inputOf(batch.slice(from, from + 2), prepared), places });
      expect(half.loss).toBeCloseTo(whole.loss, 6);
      near(half.gradients.logprobs, [-1 / 4, -1 / 4, 1 / 2]);
    }
  });

  test("a sequence that the batch does not have is a fault, not a pause", () => {
    const part = entropyHinge();
    const batch = [call("x", 1)];
    const { prepared: _, ...without } = inputOf(batch, undefined);
    expect(() => part.loss(without)).toThrow(/not in the batch/);
    expect(() => part.loss({ ...inputOf(batch, part.prepare!(batch)), places: [1] })).toThrow(
      expect.objectContaining({ code: "E_LOSS_SHAPE" }),
    );
  });

  test("a call without log-probs of before the update is a fault, and bounds are checked", () => {
    const { oldLogprobs: _, ...without } = call("x", 1);
    expect(() => entropyHinge().prepare!([without])).toThrow(/no log-probs/);
    expect(() => entropyHinge({ bounds: [1, 0] })).toThrow(/bounds/);
  });
});
