/** Golden values of group-methods.md §28. What constrained RLHF is made of: multipliers, named rewards, streams, the loss of several heads. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BatchCall, RewardedEpisode, RewardedGroup } from "../../src/methods/method.ts";
import {
  dualStep,
  type MultiplierForm,
  multiplierOf,
  multiplierSlope,
  streamWeights,
} from "../../src/methods/multipliers.ts";
import { namedReward, requireNamedRewards } from "../../src/methods/named-rewards.ts";
import { streamEstimates } from "../../src/methods/reward-streams.ts";
import { valueHeadsLoss } from "../../src/methods/value-heads-loss.ts";
import { between } from "./numbers.ts";

const close = (found: ArrayLike<number>, wanted: readonly number[], digits = 6) => {
  expect(found.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) expect(found[i], `entry ${i}`).toBeCloseTo(value, digits);
};

const episode = (id: string, ...terms: readonly Record<string, number>[]): RewardedEpisode => ({
  id,
  reward: 0,
  calls: terms.map((own) => ({ agent: "a", reward: 1, terms: own })),
});
const group = (...episodes: readonly RewardedEpisode[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes,
});
describe("multipliers", () => {
  test("golden: weights at raw 0, and a dual step", () => {
    const weights = streamWeights("sigmoid", [0, 0]);
    close(weights, [1, 0.5, 0.5]);
    const streams = [-0.2, 1, 0.4];
    expect(weights.reduce((sum, w, k) => sum + w * streams[k]!, 0)).toBeCloseTo(0.5, 6);
    const { raw } = dualStep({ raw: [0, 0], velocity: [0, 0] }, [-0.04, 0.012], {
      form: "sigmoid",
      learningRate: 0.1,
      momentum: 0,
    });
    close(raw, [0.001, -0.0003], 9);
    close(
      raw.map((value) => multiplierOf("sigmoid", value)),
      [0.50025, 0.499925],
    );
  });

  test("momentum: the first velocity is the slope itself, then m of it stays", () => {
    const settings = { form: "plain", learningRate: 0.1, momentum: 0.1 } as const;
    let now = { raw: [1], velocity: [0] } as Parameters<typeof dualStep>[0];
    now = dualStep(now, [-2], settings);
    close(now.velocity, [-2]);
    close(now.raw, [1.2]);
    now = dualStep(now, [1], settings);
    close(now.velocity, [0.8]);
    close(now.raw, [1.12]);
  });

  test("plain ones stay at least 0 and weigh the reference by 1", () => {
    const settings = { form: "plain", learningRate: 1, momentum: 0 } as const;
    expect(dualStep({ raw: [0.2, 0.2], velocity: [0, 0] }, [1, -1], settings).raw).toEqual([0, 1.2]);
    expect(streamWeights("plain", [0.3, 2])).toEqual([1, 0.3, 2]);
    const squashed = dualStep({ raw: [0.2], velocity: [0] }, [9], { ...settings, form: "tanh" });
    expect(squashed.raw[0]).toBeLessThan(0);
  });

  test("the slopes' norm is bounded where it is asked for", () => {
    const settings = { form: "plain", learningRate: 1, momentum: 0, maxGradientNorm: 0.5 } as const;
    close(dualStep({ raw: [1, 1], velocity: [0, 0] }, [-3, -4], settings).raw, [1.3, 1.4]);
    close(dualStep({ raw: [1, 1], velocity: [0, 0] }, [-0.3, -0.4], settings).raw, [1.3, 1.4]);
    close(dualStep({ raw: [1, 1], velocity: [0, 0] }, [-0.03, -0.04], settings).raw, [1.03, 1.04]);
  });

  const forms = fc.constantFrom<MultiplierForm>("sigmoid", "tanh");
  test("squashed weights sum to N, in their ranges, with slopes of finite differences", () => {
    fc.assert(
      fc.property(forms, fc.array(between(-4, 4), { minLength: 1, maxLength: 5 }), (form, raw) => {
        const [, ...lambdas] = streamWeights(form, raw);
        const sum = streamWeights(form, raw).reduce((total, w) => total + w, 0);
        expect(sum).toBeCloseTo(raw.length, 9);
        for (const [i, lambda] of lambdas.entries()) {
          expect(lambda).toBeGreaterThan(form === "sigmoid" ? 0 : -1);
          expect(lambda).toBeLessThan(1);
          const [above, below] = [raw[i]! + 1e-5, raw[i]! - 1e-5].map((at) => multiplierOf(form, at));
          expect(multiplierSlope(form, raw[i]!)).toBeCloseTo((above! - below!) / 2e-5, 7);
        }
      }),
    );
  });

  test("a reward above its threshold loses weight, one below gains it", () => {
    fc.assert(
      fc.property(forms, between(-2, 2), between(-1, 1), (form, raw, excess) => {
        fc.pre(excess !== 0);
        const settings = { form, learningRate: 0.1, momentum: 0 };
        const moved = dualStep({ raw: [raw], velocity: [0] }, [excess], settings).raw[0]!;
        expect(Math.sign(moved - raw)).toBe(-Math.sign(excess));
      }),
    );
  });
});

describe("named rewards", () => {
  test("of an episode: the mean of the calls that have it, else its own", () => {
    expect(namedReward(episode("e", { correct: 1 }, { correct: 0, format: 2 }), "correct")).toBe(0.5);
    expect(namedReward(episode("e", { correct: 1 }, { correct: 0, format: 2 }), "format")).toBe(2);
    expect(namedReward({ reward: 0, calls: [], terms: { format: 3 } }, "format")).toBe(3);
    expect(namedReward(episode("e", {}), "format")).toBeUndefined();
  });

  test("of a step: each episode counts once, however many calls it has", () => {
    const groups = [
      group(episode("a", { x: 1 }, { x: 1 }, { x: 1 })),
      group(episode("b", { x: 0 }), episode("c", {})),
    ];
    expect(requireNamedRewards("m", groups, ["x"])).toEqual([0.5]);
    expect(requireNamedRewards("m", [], ["x"])).toEqual([0]);
  });
});

const call = (over: Partial<BatchCall> & Pick<BatchCall, "length">): BatchCall => ({
  episode: "e",
  agent: "a",
  occurrence: 0,
  scope: "",
  order: 0,
  credit: 0,
  values: new Float32Array(over.length * 3),
  oldLogprobs: new Float32Array(over.length).fill(-1),
  referenceLogprobs: new Float32Array(over.length).fill(-1),
  ...over,
});
const streams = {
  gamma: 1,
  lambda: 1,
  normalise: "none",
  klCoefficient: 1,
  klEstimator: "k1",
} as const;
const names = ["correct", "format"];

describe("streams", () => {
  test("each has its own reward, value head and return; heads of a token are side by side", () => {
    const batch = [
      call({
        length: 2,
        terms: { correct: 1, format: 0.5 },
        values: Float32Array.of(0.1, 0.2, 0.3, -0.1, 0.4, 0.1),
        oldLogprobs: Float32Array.of(-1, -2),
        referenceLogprobs: Float32Array.of(-1.5, -1.75),
      }),
    ];
    // KL: −0.5, then 0.25 on its tokens; the named rewards on the last one.
    const wanted = [
      [-0.25 - 0.1, 0.25 + 0.1],
      [1 - 0.2, 1 - 0.4],
      [0.5 - 0.3, 0.5 - 0.1],
    ];
    for (const k of [0, 1, 2]) {
      const weights = [0, 1, 2].map((i) => Number(i === k));
      const { advantages, returns } = streamEstimates(batch, names, weights, streams);
      close(advantages[0]!, wanted[k]!);
      close(returns[0]!, [-0.25, 1, 0.5, 0.25, 1, 0.5]);
    }
    const { advantages } = streamEstimates(batch, names, [1, 0.5, 0.5], streams);
    close(advantages[0]!, [-0.35 + 0.4 + 0.1, 0.35 + 0.3 + 0.2]);
  });

  test("each is whitened alone, so the size of its rewards does not matter", () => {
    const batch = (size: number) => [
      call({ length: 1, terms: { correct: 0, format: 1 } }),
      call({ length: 1, episode: "f", terms: { correct: size, format: 0 } }),
    ];
    const settings = { ...streams, normalise: "model" } as const;
    const found = [1, 1000].map((size) => streamEstimates(batch(size), names, [1, 0.5, 0.25], settings));
    close(
      found[0]!.advantages.flatMap((row) => [...row]),
      [-0.176777, 0.176777],
      5,
    );
    close(
      found[1]!.advantages.flatMap((row) => [...row]),
      [-0.176777, 0.176777],
      5,
    );
  });

  test("γ and λ of the settings", () => {
    const batch = [call({ length: 3, terms: { correct: 1, format: 0 } })];
    const { advantages } = streamEstimates(batch, names, [0, 1, 0], { ...streams, gamma: 0.9, lambda: 0.5 });
    close(advantages[0]!, [0.2025, 0.45, 1]);
  });

  test("a call without a reward has 0 of it; one token has advantage 0 once whitened; no calls, no estimates", () => {
    const settings = { ...streams, normalise: "model" } as const;
    const { advantages, returns } = streamEstimates(
      [call({ length: 1, terms: { correct: 1 } })],
      names,
      [1, 1, 1],
      settings,
    );
    close(advantages[0]!, [0]);
    close(returns[0]!, [0, 1, 0]);
    expect(streamEstimates([], names, [1, 1, 1], settings)).toEqual({ advantages: [], returns: [] });
  });

  test("values of another number of heads, or none, are refused", () => {
    const wrong = [{ values: new Float32Array(2) }, { values: undefined as never }];
    for (const over of wrong)
      expect(() => streamEstimates([{ ...call({ length: 2 }), ...over }], names, [1, 1, 1], streams)).toThrow(
        /2 tokens and (2|no) values; 3 value heads give 6.*valueHead: 3/s,
      );
    const { referenceLogprobs: _, ...without } = call({ length: 2 });
    expect(() => streamEstimates([without], names, [1, 1, 1], streams)).toThrow(/no reference log-probs/);
  });
});

describe("the loss of several heads", () => {
  const input = {
    lengths: [2, 1],
    logprobs: new Float32Array(3),
    oldLogprobs: new Float32Array(3),
    advantages: new Float32Array(3),
    values: Float32Array.of(1, 0, 2, 0, 0, 3),
    returns: Float32Array.of(0, 0, 0, 1, 0, 0),
    totals: { sequences: 2, tokens: 3 },
  };

  test("by hand: c_k (v − R)², means over tokens or sequences, masked tokens apart", () => {
    const mean = valueHeadsLoss(input, [0.2, 0.5], "token-mean");
    expect(mean.loss).toBeCloseTo((0.2 * (1 + 4) + 0.5 * (1 + 9)) / 3, 6);
    expect(mean.errors).toEqual([5, 10]);
    close(mean.gradients, [0.4 / 3, 0, 0.8 / 3, -1 / 3, 0, 1]);
    const each = valueHeadsLoss(input, [0.2, 0.5], "sequence-mean");
    expect(each.loss).toBeCloseTo((0.2 * 5 + 0.5) / 4 + (0.5 * 9) / 2, 6);
    const masked = valueHeadsLoss({ ...input, mask: Uint8Array.of(0, 1, 1) }, [0.2, 0.5], "sequence-mean");
    close(masked.gradients, [0, 0, 0.4, -0.5, 0, 1.5]);
    expect(masked.errors).toEqual([4, 10]);
  });

  test("arrays that do not fit are refused", () => {
    expect(() => valueHeadsLoss(input, [1, 1, 1], "token-mean")).toThrow(
      /3 log-probs and 3 value heads, but values has 6/,
    );
    const { returns: _, ...without } = input;
    expect(() => valueHeadsLoss(without, [1, 1], "token-mean")).toThrow(/returns is missing/);
  });
});
