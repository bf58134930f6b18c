/** Constrained RLHF as a method. Golden values: group-methods.md §28; its parts are in reward-streams.test.ts. */

import { describe, expect, test } from "vitest";
import { type ConstrainedSettings, constrained, constrainedCard } from "../../src/methods/constrained.ts";
import type { BatchCall, Method, RewardedEpisode, RewardedGroup } from "../../src/methods/method.ts";
import { checkMethod } from "../../src/testing/check-method.ts";

const thresholds = { correct: 0.5, format: 0.25 };
const make = (over: Partial<ConstrainedSettings> = {}) => constrained({ thresholds, ...over });
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
const facts = (...groups: readonly RewardedGroup[]) => ({ step: 1, steps: 9, groups, statistics: {} });
const rawOf = (method: Method) =>
  Object.values(method.state!() as Record<string, { readonly raw: number }>).map(({ raw }) => raw);

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
describe("the method", () => {
  test("a name that nothing has is told with those there are", () => {
    const groups = [group(episode("a", { correct: 1 }, { format: 1 }))];
    for (const ask of [
      () => constrained({ thresholds: { corect: 1 } }).creditAll!(groups),
      () => constrained({ thresholds: { corect: 1 } }).observe!(facts(...groups)),
    ])
      expect(ask).toThrow(
        expect.objectContaining({
          code: "E_NAMED_REWARD",
          message: expect.stringMatching(/named "corect".*there are: correct, format/s),
        }),
      );
  });

  test.each(["sigmoid", "tanh", "plain"] as const)(
    "%s: gradients, microbatches, order, checkpoints",
    (multiplier) => {
      checkMethod(() => make({ multiplier, minibatches: 2 }), { batches: 3, tolerance: 2e-3 });
    },
  );

  test("asks for a reference, log-probs before the update, and a head more than thresholds", () => {
    expect(make().needs).toEqual({
      reference: true,
      referenceInEstimate: true,
      entropy: false,
      tokensWithoutAdvantage: true,
      values: 3,
    });
    expect(constrained({ thresholds: { only: 1 } }).needs.values).toBe(2);
  });

  test("the estimate is mixed with the multipliers of now", () => {
    const batch = [
      call({ length: 1, terms: { correct: 0, format: 1 } }),
      call({ length: 1, episode: "f", terms: { correct: 1, format: 0 } }),
    ];
    const method = make({ multiplier: "tanh", initial: 0 });
    const first = (of: Method) => of.estimate!(batch).advantages.map((row) => row[0]!);
    // λ = 0: only the reference counts, and there is no distance to it.
    close(first(method), [0, 0]);
    method.restore!({ correct: { raw: Math.atanh(0.5), velocity: 0 }, format: { raw: 0, velocity: 0 } });
    close(first(method), [-0.5 * Math.SQRT1_2, 0.5 * Math.SQRT1_2], 5);
  });

  test("learns in observe alone: the golden dual step, as often as asked", () => {
    const step = facts(group(episode("a", { correct: 0.46, format: 0.262 })));
    const method = make({ initial: 0, dualMomentum: 0 });
    const weights = () => rawOf(method);
    method.creditAll!(step.groups);
    expect(weights()).toEqual([0, 0]);
    method.observe!(step);
    close(weights(), [0.001, -0.0003], 9);
    const often = make({ initial: 0, dualMomentum: 0, dualSteps: 3 });
    often.observe!(step);
    close(rawOf(often), [0.003, -0.0009], 8);
    const bounded = make({ initial: 0, dualMomentum: 0, maxDualGradientNorm: 1e-3 });
    bounded.observe!(step);
    expect(Math.hypot(...rawOf(bounded))).toBeCloseTo(1e-4, 9);
  });

  test("pushes a multiplier towards its bound until the threshold is met, then holds", () => {
    const method = make({ multiplier: "tanh", dualLearningRate: 1 });
    const observe = (correct: number) =>
      method.observe!(facts(group(episode("a", { correct, format: 0.25 }))));
    for (let n = 0; n < 40; n++) observe(0);
    const raised = rawOf(method)[0]!;
    expect(Math.tanh(raised)).toBeGreaterThan(0.9);
    observe(0.5);
    observe(0.5);
    const held = rawOf(method)[0]!;
    for (let n = 0; n < 20; n++) observe(0.5);
    expect(rawOf(method)[0]).toBeCloseTo(held, 2);
    for (let n = 0; n < 400; n++) observe(1);
    expect(Math.tanh(rawOf(method)[0]!)).toBeLessThan(-0.9);
  });

  test("the start: one keyed draw for all, near 0; 0.5 where multipliers are plain", () => {
    const [correct, format] = rawOf(make());
    expect(correct).toBe(format);
    expect(correct).not.toBe(0);
    expect(Math.abs(correct!)).toBeLessThan(0.05);
    expect(rawOf(make())).toEqual([correct, format]);
    expect(rawOf(make({ seed: 1 }))).not.toEqual([correct, format]);
    expect(rawOf(make({ multiplier: "plain" }))).toEqual([0.5, 0.5]);
    expect(rawOf(make({ initial: -2 }))).toEqual([-2, -2]);
    const draws = Array.from({ length: 400 }, (_, seed) => rawOf(make({ seed }))[0]!);
    const spread = Math.sqrt(draws.reduce((sum, x) => sum + x * x, 0) / 400);
    expect(spread).toBeGreaterThan(0.009);
    expect(spread).toBeLessThan(0.011);
  });

  test("credit is what a call was rewarded with; equal rewards of more than one episode are no signal", () => {
    const same = [episode("a", { correct: 1, format: 0 }), episode("b", { correct: 1, format: 0 })];
    expect(make().credit(same).hasSignal).toBe(false);
    expect(make().credit(same.slice(1)).hasSignal).toBe(true);
    const other = [...same, episode("c", { correct: 1, format: 1 })];
    expect(make().credit(other)).toMatchObject({
      hasSignal: true,
      advantages: [Float64Array.of(1), Float64Array.of(1), Float64Array.of(1)],
    });
    expect(make().creditAll!([group()])).toEqual([{ advantages: [], hasSignal: true }]);
  });

  test("statistics: the error of each head, and each multiplier", () => {
    const method = make({ initial: 0 });
    const output = method.loss({
      lengths: [2],
      logprobs: new Float32Array(2),
      oldLogprobs: new Float32Array(2),
      advantages: Float32Array.of(1, -1),
      values: Float32Array.of(1, 2, 0, 0, 0, 3),
      oldValues: new Float32Array(6),
      returns: new Float32Array(6),
      totals: { sequences: 1, tokens: 2 },
    });
    expect(output.statistics.sums).toMatchObject({
      klValueLoss: 1,
      "valueLoss.correct": 4,
      "valueLoss.format": 9,
      "multiplier.correct": 1,
      "multiplier.format": 1,
    });
    // 0.2 on the reference's head, 0.5 shared by the two others; the policy's part is 0.
    expect(output.loss).toBeCloseTo((0.2 * 1 + 0.25 * (4 + 9)) / 2, 6);
  });

  test("a checkpoint of other constraints is refused", () => {
    const entry = { raw: 0, velocity: 0 };
    for (const state of [
      null,
      {},
      { correct: entry },
      { correct: entry, format: { raw: Number.NaN, velocity: 0 } },
      { correct: entry, format: entry, more: entry },
    ])
      expect(() => make().restore!(state)).toThrow(expect.objectContaining({ code: "E_METHOD_STATE" }));
  });

  test.each<[string, Partial<ConstrainedSettings>]>([
    ["no thresholds", { thresholds: {} }],
    ["thresholds.correct NaN", { thresholds: { correct: Number.NaN } }],
    ["multiplier", { multiplier: "relu" as never }],
    ["initial -1", { multiplier: "plain", initial: -1 }],
    ["dualLearningRate -1", { dualLearningRate: -1 }],
    ["dualMomentum 1", { dualMomentum: 1 }],
    ["dualSteps 0", { dualSteps: 0 }],
    ["maxDualGradientNorm 0", { maxDualGradientNorm: 0 }],
    ["klCoefficient 0", { klCoefficient: 0 }],
    ["klEstimator", { klEstimator: "k9" as never }],
    ["valueCoefficient -1", { valueCoefficient: -1 }],
    ["klValueCoefficient -1", { klValueCoefficient: -1 }],
    ["gamma 2", { gamma: 2 }],
    ["lambda -1", { lambda: -1 }],
    ["normalise", { normalise: "all" as never }],
    ["clip -1", { clip: -1 }],
    ["aggregation", { aggregation: "mean" as never }],
    ["groupSize 0", { groupSize: 0 }],
    ["epochs 1.5", { epochs: 1.5 }],
    ["minibatches 0", { minibatches: 0 }],
    ["seed 0.5", { seed: 0.5 }],
  ])("refuses %s", (said, over) => {
    expect(() => make(over)).toThrow(
      expect.objectContaining({
        name: "MethodSettingsError",
        message: expect.stringContaining(said.split(" ")[0] === "no" ? said : said.split(" ")[0]!),
      }),
    );
  });

  test("the card says every default, as the code has it", () => {
    const { thresholds: _, ...defaults } = make().settings;
    expect(
      Object.fromEntries(Object.entries(constrainedCard.defaults).map(([name, { value }]) => [name, value])),
    ).toEqual(defaults);
  });
});
