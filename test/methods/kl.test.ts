/** KL to a reference: estimators, and the term in the reward instead of the loss. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { klPenalties, klSettings, klValue } from "../../src/methods/kl.ts";
import type { BatchCall, LossInput } from "../../src/methods/method.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { between } from "./numbers.ts";

const call = (over: Partial<BatchCall> = {}): BatchCall => ({
  episode: "e",
  agent: "a",
  occurrence: 0,
  scope: "",
  order: 0,
  length: 3,
  credit: 2,
  values: new Float32Array(3),
  oldLogprobs: Float32Array.of(-1, -2, -0.5),
  referenceLogprobs: Float32Array.of(-1.5, -1, -0.5),
  ...over,
});
const input: LossInput = {
  lengths: [2],
  logprobs: Float32Array.of(-1, -2),
  oldLogprobs: Float32Array.of(-1, -2),
  referenceLogprobs: Float32Array.of(-1.5, -1),
  advantages: Float32Array.of(1, -1),
  values: new Float32Array(2),
  oldValues: new Float32Array(2),
  returns: new Float32Array(2),
  totals: { sequences: 1, tokens: 2 },
};

test("the specification's KL estimate between the policies of its PPO table is the mean of k1", () => {
  const old = [-1, -2, -0.5, -1.5, -0.7];
  const now = [-0.7, -2.1, -0.5, -1.2, -1.9];
  const mean = old.reduce((sum, l, i) => sum + klValue("k1", l - now[i]!), 0) / old.length;
  expect(mean).toBeCloseTo(0.14, 5);
});

test("over draws from a distribution k1 and k3 have the KL as their mean, and k2's gradient is the KL's", () => {
  const share = fc.array(between(0.05, 1), { minLength: 4, maxLength: 4 });
  const normal = (weights: readonly number[]) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  };
  fc.assert(
    fc.property(share, share, (left, right) => {
      const p = normal(left);
      const q = normal(right);
      const d = p.map((pi, i) => Math.log(pi / q[i]!));
      const kl = p.reduce((sum, pi, i) => sum + pi * d[i]!, 0);
      for (const estimator of ["k1", "k3"] as const)
        expect(p.reduce((sum, pi, i) => sum + pi * klValue(estimator, d[i]!), 0)).toBeCloseTo(kl, 10);
      // ∂KL/∂z_0 = p_0 (d_0 − KL); from k2: Σ p_i d_i ∂ℓ_i/∂z_0, ∂ℓ_i/∂z_0 = 1[i = 0] − p_0.
      const fromK2 = p.reduce((sum, pi, i) => sum + pi * d[i]! * ((i === 0 ? 1 : 0) - p[0]!), 0);
      expect(fromK2).toBeCloseTo(p[0]! * (d[0]! - kl), 10);
    }),
  );
});

describe("in the reward", () => {
  test("penalties are β·k of each token under the weights that sampled", () => {
    const [k1] = klPenalties([call()], { klCoefficient: 0.5, klEstimator: "k1" });
    expect([...k1!]).toEqual([0.25, -0.5, 0]);
    const [k2] = klPenalties([call()], { klCoefficient: 0.5, klEstimator: "k2" });
    expect([...k2!]).toEqual([0.0625, 0.25, 0]);
    const { oldLogprobs: _, ...without } = call();
    expect(() => klPenalties([without], { klCoefficient: 1, klEstimator: "k1" })).toThrow(/no old and 3/);
  });

  test("PPO: taken off each token's reward; returns carry them to the tokens before", () => {
    const method = ppo({ klCoefficient: 0.5, klIn: "reward", normalise: "none" });
    expect(method.needs).toMatchObject({ reference: true, referenceInEstimate: true });
    const { advantages, returns } = method.estimate!([call()]);
    // Penalties 0.25, −0.5, 0 and a reward of 2 on the last token.
    expect([...advantages[0]!]).toEqual([2.25, 2.5, 2]);
    expect([...returns![0]!]).toEqual([2.25, 2.5, 2]);
  });

  test("GRPO: the group's advantage minus the penalties that follow, and no term in the loss", () => {
    const method = grpo({ klCoefficient: 0.5, klIn: "reward" });
    expect(method.needs).toMatchObject({
      reference: true,
      referenceInEstimate: true,
      tokensWithoutAdvantage: false,
    });
    expect([...method.estimate!([call()]).advantages[0]!]).toEqual([2.25, 2.5, 2]);
    const held = method.loss(input);
    const free = grpo().loss(input);
    expect(held.loss).toBe(free.loss);
    expect([...held.gradients.logprobs]).toEqual([...free.gradients.logprobs]);
    // It is still measured: k3 at d = 0.5 and −1.
    expect(held.statistics.sums.referenceKl).toBeCloseTo(klValue("k3", 0.5) + klValue("k3", -1), 5);
  });

  test("PPO has it in one place only", () => {
    const at = (klIn: "loss" | "reward") => ppo({ klCoefficient: 0.5, klIn }).loss(input).loss;
    const free = ppo().loss(input).loss;
    expect(at("reward")).toBeCloseTo(free, 6);
    expect(at("loss") - free).toBeCloseTo((0.5 * (klValue("k3", 0.5) + klValue("k3", -1))) / 2, 5);
    expect(ppo({ klCoefficient: 0.5 }).needs.referenceInEstimate).toBeUndefined();
  });

  test("without a coefficient nothing is asked of a reference, wherever the term would be", () => {
    for (const klIn of ["loss", "reward"] as const) {
      expect(grpo({ klIn }).needs.reference).toBe(false);
      expect(grpo({ klIn }).estimate).toBeUndefined();
      expect(ppo({ klIn }).needs.reference).toBe(false);
    }
  });
});

test("defaults are k3 in the loss and k1 in the reward; k1 in the loss would hold nothing", () => {
  expect(klSettings("m", {})).toEqual({ klCoefficient: 0, klIn: "loss", klEstimator: "k3" });
  expect(klSettings("m", { klIn: "reward" }).klEstimator).toBe("k1");
  for (const method of [grpo, ppo]) {
    expect(() => method({ klCoefficient: 0.1, klEstimator: "k1" })).toThrow(/expected gradient is zero/);
    expect(() => method({ klCoefficient: 0.1, klEstimator: "k1", klIn: "reward" })).not.toThrow();
    expect(() => method({ klEstimator: "k4" as "k3" })).toThrow(/klEstimator "k4"/);
    expect(() => method({ klIn: "both" as "loss" })).toThrow(/klIn "both"/);
    expect(() => method({ klCoefficient: -1 })).toThrow(/klCoefficient -1/);
  }
});
