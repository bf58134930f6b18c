/** MARS² as a whole: from a tree's rewards to losses of each policy. */

import { describe, expect, test } from "vitest";
import { gspo } from "../../src/methods/gspo.ts";
import { type Mars2Settings, mars2 } from "../../src/methods/mars2.ts";
import type { LossInput, RewardedEpisode } from "../../src/methods/method.ts";
import {
  checkGradients,
  checkMicrobatches,
  checkOrder,
  checkState,
  randomEpisode,
} from "../../src/testing/index.ts";

/** The tree of the test plan: whole attempts, each with the calls of its parent. */
const parents = [-1, -1, 0, 0, 2, 1];
const rewards = [0, 1, 1, 0, 1, 0];
const tree: RewardedEpisode[] = [];
for (const [i, parent] of parents.entries()) {
  const reward = rewards[i]!;
  const above = tree[parent]?.calls.map((call) => ({ ...call, reward })) ?? [];
  const own = { agent: "coder", policy: i % 2 === 0 ? "A" : "B", reward, node: `n${i}`, length: 100 };
  tree.push({ id: `e${i}`, reward, parent, calls: [...above, own] });
}
const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));

/** [n] advantages where calls are trained, in the order of the nodes. */
function advantagesOf(settings: Mars2Settings, group: readonly RewardedEpisode[] = tree): number[] {
  const { advantages, trained } = mars2({ epsilon: 0, ...settings }).credit(group);
  return advantages.flatMap((row, i) => [...row].filter((_, j) => trained?.[i]?.[j] !== 0));
}

describe("a tree of the test plan", () => {
  test("shaped, then over all nodes, then the same for each policy's own calls", () => {
    expect(advantagesOf({})).toEqual(close([-0.977883, 1.062916, 1.062916, -0.722783, 0.552716, -0.977883]));
  });

  test("γ = 0: raw rewards", () => {
    expect(advantagesOf({ gamma: 0 })).toEqual(
      close(rewards.map((reward) => (reward === 1 ? 0.912871 : -0.912871))),
    );
  });

  test("in place, as the public code would: compounding with depth", () => {
    const shaped = [-0.5, 1.5, 1.625, -0.125, 0.6875, -0.75];
    const mean = shaped.reduce((sum, value) => sum + value, 0) / 6;
    const deviation = Math.sqrt(shaped.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 5);
    expect(advantagesOf({ shaping: "inPlace" })).toEqual(
      close(shaped.map((value) => (value - mean) / deviation)),
    );
  });

  test("overlong penalties are taken off before the comparison and after the shaping", () => {
    const group = tree.map((episode, i) => ({
      ...episode,
      calls: episode.calls.map((call, j) => (i === 3 && j === 1 ? { ...call, length: 150 } : call)),
    }));
    // Only node 3 is half into the buffer: −.25 − .5.
    const shaped = [-0.5, 1.5, 1.5, -0.75, 1, -0.5];
    const mean = shaped.reduce((sum, value) => sum + value, 0) / 6;
    const deviation = Math.sqrt(shaped.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 5);
    expect(advantagesOf({ overlong: { maxTokens: 200, buffer: 100 } }, group)).toEqual(
      close(shaped.map((value) => (value - mean) / deviation)),
    );
  });

  test("two nodes, equal nodes, one node", () => {
    const two = tree.slice(0, 2).reverse();
    expect(advantagesOf({ gamma: 0 }, two)).toEqual(close([Math.SQRT1_2, -Math.SQRT1_2]));
    const equal = tree.map((episode) => ({
      ...episode,
      reward: 1,
      calls: episode.calls.map((call) => ({ ...call, reward: 1 })),
    }));
    expect(mars2().credit(equal).hasSignal).toBe(false);
    expect(mars2().credit([tree[0]!])).toMatchObject({ hasSignal: false, advantages: [Float64Array.of(0)] });
  });
});

describe("the loss", () => {
  const input: LossInput = {
    lengths: [3, 2],
    logprobs: Float32Array.of(-0.9, -1.8, -0.4, -1.4, -0.9),
    oldLogprobs: Float32Array.of(-1, -2, -0.5, -1.5, -0.7),
    advantages: Float32Array.of(1, 1, 1, -1, -1),
    totals: { sequences: 2, tokens: 5 },
  };
  // d = .5 on every token: k3 = .106531; d = −.5: .148721.
  const reference = (d: number) => ({ ...input, referenceLogprobs: input.logprobs.map((l) => l - d) });

  test("GSPO with ε .2/.2, plus 1e-3 of k3", () => {
    expect(mars2({ klCoefficient: 0 }).loss(input).loss).toBeCloseTo(-0.095701, 5);
    expect(mars2().loss(reference(0.5)).loss).toBeCloseTo(-0.095701 + 0.000106531, 6);
    expect(mars2({ klCoefficient: 1 }).loss(reference(0.5)).loss).toBeCloseTo(-0.095701 + 0.106531, 5);
    expect(mars2({ klCoefficient: 1 }).loss(reference(-0.5)).loss).toBeCloseTo(-0.095701 + 0.148721, 5);
  });

  test("samples of older weights: weighed once, or twice as the public code does", () => {
    const stale = { ...input, samplerLogprobs: Float32Array.of(-1.1, -1.9, -1.5, -1.5, -0.8) };
    const kl = { klCoefficient: 0 };
    expect(mars2(kl).loss(stale).loss).toBeCloseTo(-0.263035, 5);
    expect(mars2({ ...kl, correction: "repo" }).loss(stale).loss).toBeCloseTo(-0.275709, 5);
    expect(mars2({ ...kl, correction: "repo", cap: 1.5 }).loss(stale).loss).not.toBeCloseTo(-0.275709, 2);
    expect(mars2({ ...kl, veto: 0.95 }).loss(stale).loss).toBeCloseTo(
      0.5 * Math.exp(-0.05) * ((1 + Math.exp(0.1)) / 2),
      5,
    );
  });

  test("on fresh samples it is GSPO's with its clip range", () => {
    const same = gspo({ clipLow: 0.2, clipHigh: 0.2 }).loss(input);
    const { loss, gradients } = mars2({ klCoefficient: 0 }).loss(input);
    expect(loss).toBe(same.loss);
    expect(gradients).toEqual(same.gradients);
  });

  test("the reference is kept only for the KL", () => {
    expect(mars2().needs).toMatchObject({ reference: true, tokensWithoutAdvantage: true });
    expect(mars2({ klCoefficient: 0 }).needs).toMatchObject({
      reference: false,
      tokensWithoutAdvantage: false,
    });
  });
});

describe("on random search trees", () => {
  const episode = (of: Parameters<typeof randomEpisode>[0]): RewardedEpisode => {
    const { sample, random } = of;
    const parent = random.integer(sample + 1) - 1;
    const above = of.earlier[parent]?.calls ?? [];
    const { calls, reward, ...facts } = randomEpisode({ ...of, earlier: [] });
    const own = calls.map((call) => ({ ...call, policy: `p${sample % 2}` }));
    return { ...facts, reward, parent, calls: [...above, ...own] };
  };

  test("gradients, microbatches, checkpoints", () => {
    const options = { episode, batches: 4 };
    expect(checkGradients(mars2(), options).moving).toBeGreaterThan(10);
    checkMicrobatches(mars2({ level: "token" }), options);
    checkState(() => mars2(), options);
  });

  test("without a tree the order of episodes changes nothing", () => {
    checkOrder(mars2(), { batches: 4 });
  });

  test("the frozen method says what it is", () => {
    const { settings, name, groupSize, sampler } = mars2({ overlong: { maxTokens: 64, buffer: 8 } });
    expect({ name, groupSize, sampler }).toEqual({ name: "mars2", groupSize: 8, sampler: undefined });
    expect(settings).toMatchObject({
      "credit/tree-shaping": { gamma: 0.5, lambda: 0.5, form: "raw", overlong: { maxTokens: 64, buffer: 8 } },
      "advantage/tree-nodes": { ddof: 1, epsilon: 1e-9, clip: 10 },
      "regulariser/kl": { coefficient: 1e-3 },
    });
  });
});

test("settings are checked", () => {
  const code = expect.objectContaining({ code: "E_METHOD_SETTING" });
  for (const wrong of [{ klCoefficient: -1 }, { gamma: -1 }, { cap: 0.5 }, { clipLow: -1 }, { groupSize: 1 }])
    expect(() => mars2(wrong)).toThrowError(code);
});
