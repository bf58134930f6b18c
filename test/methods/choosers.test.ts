/** Methods that choose: DPO, rejection sampling, CGPO; and those with a soft gate or a cost for leaving the start. */

import { describe, expect, test } from "vitest";
import { bestAgainstWorst } from "../../src/methods/advantage/best-worst.ts";
import { codpo, crpg, crraft } from "../../src/methods/cgpo.ts";
import { dpo } from "../../src/methods/dpo.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { BatchCall, Method, RewardedEpisode } from "../../src/methods/method.ts";
import { reinforcePlusPlus } from "../../src/methods/reinforce-plus-plus.ts";
import { rejectionSampling } from "../../src/methods/rejection-sampling.ts";
import { sapo } from "../../src/methods/sapo.ts";
import { specInput } from "./loss/kernel-checks.ts";

const episode = (
  reward: number,
  terms: Readonly<Record<string, number>> = {},
  agents: readonly string[] = ["a", "b"],
): RewardedEpisode => ({ reward, terms, calls: agents.map((agent) => ({ agent, reward })) });
const group = (...rewards: readonly number[]) => rewards.map((reward) => episode(reward));
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly number[]) => expected.map((value) => expect.closeTo(value, 5));
const judged = (method: Method, ...episodes: readonly RewardedEpisode[]) => {
  const { advantages, trained, links, hasSignal } = method.credit(episodes);
  return { advantages: rows(advantages), trained: trained && rows(trained), links, hasSignal };
};

describe("best against worst", () => {
  test("one pair a call of the best and the worst; everything else is left out", () => {
    const { advantages, trained, links, hasSignal } = judged(dpo(), ...group(0.5, 1, 0, 0.2));
    expect(advantages).toEqual([
      [0, 0],
      [1, 1],
      [-1, -1],
      [0, 0],
    ]);
    expect(trained).toEqual([
      [0, 0],
      [1, 1],
      [1, 1],
      [0, 0],
    ]);
    expect(links![1]).toEqual(links![2]);
    expect(new Set(links![1])).toHaveProperty("size", 2);
    expect(links![0]).toEqual([undefined, undefined]);
    expect(hasSignal).toBe(true);
  });

  test("a call that the other episode does not have is in no pair", () => {
    const { trained } = judged(dpo(), episode(1, {}, ["a", "b"]), episode(0, {}, ["a", "c"]));
    expect(trained).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(judged(dpo(), episode(1, {}, ["a"]), episode(0, {}, ["c"])).hasSignal).toBe(false);
  });

  test("a call that sampled nothing is in no batch, so in no pair", () => {
    const [best, worst] = [episode(1), episode(0)];
    const silent = (one: RewardedEpisode) => ({
      ...one,
      calls: one.calls.map((call) => (call.agent === "b" ? { ...call, length: 0 } : call)),
    });
    for (const episodes of [
      [silent(best), worst],
      [best, silent(worst)],
    ])
      expect(judged(dpo(), ...episodes).trained).toEqual([
        [1, 0],
        [1, 0],
      ]);
  });

  test("of equals the first is chosen, and the first rejected", () => {
    expect(judged(dpo(), ...group(0, 1, 1, 0)).advantages.map(([sign]) => sign)).toEqual([-1, 1, 0, 0]);
  });

  test("equal rewards, one episode, none: no pair", () => {
    for (const episodes of [group(1, 1, 1), group(1), []])
      expect(judged(dpo(), ...episodes).hasSignal).toBe(false);
  });

  test("CODPO: best feasible against worst infeasible, whatever the rewards", () => {
    const broken = { infeasible: -1 };
    const mixed = [episode(0.2), episode(0.4), episode(0.9, broken), episode(0.8, broken)];
    expect(judged(codpo(), ...mixed).advantages).toEqual([
      [0, 0],
      [1, 1],
      [0, 0],
      [-1, -1],
    ]);
    // None infeasible: the lowest reward is the rejected one. None feasible: no pair.
    expect(judged(codpo(), ...group(0.2, 0.4)).advantages).toEqual([
      [-1, -1],
      [1, 1],
    ]);
    expect(judged(codpo(), episode(1, broken), episode(0, broken)).hasSignal).toBe(false);
    // Equal rewards still differ in feasibility.
    expect(judged(codpo(), episode(1), episode(1, broken)).advantages).toEqual([
      [1, 1],
      [-1, -1],
    ]);
    const part = bestAgainstWorst({ value: ({ terms }) => terms!.quality! });
    const groups = [
      {
        group: { task: "t", dataset: "", episodes: [episode(1, { quality: 0 }), episode(0, { quality: 1 })] },
        values: [],
      },
    ];
    expect(rows(part.advantages(groups)[0]!.advantages)).toEqual([
      [-1, -1],
      [1, 1],
    ]);
  });
});

describe("rejection sampling", () => {
  test("right ones, the best one, or all", () => {
    const rewards = group(1, 0.2, 1, 0.7);
    expect(judged(rejectionSampling(), ...rewards)).toMatchObject({
      advantages: [
        [1, 1],
        [0, 0],
        [1, 1],
        [0, 0],
      ],
      trained: [
        [1, 1],
        [0, 0],
        [1, 1],
        [0, 0],
      ],
    });
    expect(judged(rejectionSampling({ threshold: 0.5 }), ...rewards).trained).toEqual([
      [1, 1],
      [0, 0],
      [1, 1],
      [1, 1],
    ]);
    expect(judged(rejectionSampling({ keep: "best" }), ...rewards).trained).toEqual([
      [1, 1],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(judged(rejectionSampling({ keep: "all" }), ...rewards).trained!.flat()).toEqual(Array(8).fill(1));
  });
  test("a group in which all are right is still imitated; best of equals and no right one are not", () => {
    expect(judged(rejectionSampling(), ...group(1, 1)).hasSignal).toBe(true);
    expect(judged(rejectionSampling({ keep: "best" }), ...group(1, 1)).hasSignal).toBe(false);
    expect(judged(rejectionSampling(), ...group(0, 0)).hasSignal).toBe(false);
    // Right, and nothing was said.
    expect(judged(rejectionSampling(), episode(1, {}, [])).hasSignal).toBe(false);
    expect(() => rejectionSampling({ keep: "worst" as "best" })).toThrow(/"right", "best" or "all"/);
  });
});

/** Calls of three tasks, one each, with log-ratios to the start. */
const batchOf = (
  credits: readonly number[],
  ratios: readonly number[],
  tasks = ["x", "y", "z"],
): BatchCall[] =>
  credits.map((credit, i) => ({
    episode: `e${i}`,
    agent: "a",
    occurrence: 0,
    scope: "",
    order: 0,
    length: 2,
    credit,
    task: tasks[i]!,
    oldLogprobs: Float32Array.of(-1, -1),
    referenceLogprobs: Float32Array.of(-1 - ratios[i]! / 2, -1 - ratios[i]! / 2),
  }));

describe("CGPO", () => {
  const credits = (method: Method) =>
    method
      .credit([episode(1, {}, ["a"]), episode(0.3, { infeasible: 1 }, ["a"]), episode(-0.5, {}, ["a"])])
      .advantages.map(([value]) => value!);

  test("golden values of CRPG", () => {
    const calibrated = credits(crpg());
    expect(calibrated).toEqual(near([0.731059, 0, 0.377541]));
    const { advantages } = crpg().estimate!(batchOf(calibrated, [2, 0, -1]));
    expect(advantages.map(([value]) => value)).toEqual(near([0.251466, -0.333381, 0.081914]));
    for (const row of advantages) expect(new Set(row).size).toBe(1);
  });

  test("clamped, and out of reach beyond KL_max", () => {
    const only = (ratio: number, settings = {}) => {
      const [first, second] = crpg(settings).estimate!(batchOf([1, 0], [ratio, 0])).advantages;
      return first![0]! - second![0]!;
    };
    expect([only(-5), only(-5, { clamp: true }), only(20), only(1, { klMax: 2 })]).toEqual(
      near([1.5, 1, 0, 0.5]),
    );
  });

  test("a baseline answer of its own", () => {
    const method = crpg({ baseline: ({ terms }) => terms!.reference! });
    const { advantages } = method.credit([episode(2, { reference: 2 }, ["a"])]);
    expect(advantages[0]![0]).toBeCloseTo(0.5, 6);
  });

  test("a term with −r̄ is in the reward already, whatever its name", () => {
    const { advantages } = crpg().credit([episode(0, { score: 1.5, baseline: -1.5 }, ["a"])]);
    expect(advantages[0]![0]).toBeCloseTo(0.5, 6);
  });

  test("CRRAFT: the best feasible call of a task that is near enough", () => {
    const batch = batchOf([0.7, 0.6, 0.9], [0, 1, 11], ["x", "x", "x"]);
    expect(crraft().estimate!(batch).advantages.map(([value]) => value)).toEqual(near([0.7, 0, 0]));
    // At KL_max itself a call is near enough.
    const edge = batchOf([0.7, 0.9], [0, 10], ["x", "x"]);
    expect(crraft().estimate!(edge).advantages.map(([value]) => value)).toEqual(near([0, 0.9]));
    const apart = batchOf([0.7, 0.6, 0], [0, 1, 0]);
    expect(crraft().estimate!(apart).advantages.map(([value]) => value)).toEqual(near([0.7, 0.6, 0]));
  });

  test("CRRAFT: calls are compared with those of the same agent, scope and turn, and imitated", () => {
    const batch = batchOf([0.9, 0.8, 0.7, 0.6, 0.5], [0, 0, 0, 0, 0], Array(5).fill("x"));
    const places = [{}, { agent: "b" }, { occurrence: 1 }, { scope: "child" }, {}];
    const apart = batch.map((call, i) => ({ ...call, ...places[i] }));
    expect(crraft().estimate!(apart).advantages.map(([value]) => value)).toEqual(
      near([0.9, 0.8, 0.7, 0.6, 0]),
    );
    // Its loss is the likelihood: a mean over tokens that refuses negative weights.
    expect(() => crraft().loss(specInput)).toThrow(expect.objectContaining({ code: "E_LIKELIHOOD_WEIGHT" }));
    expect(crpg().credit([episode(1, {}, [])]).hasSignal).toBe(false);
  });

  test("CRRAFT: rewards so high that σ is 1 for all of them are still told apart", () => {
    const method = crraft();
    const rewards = [40, 60, 50];
    const given = method
      .credit(rewards.map((reward) => episode(reward, {}, ["a"])))
      .advantages.map(([value]) => value!);
    expect(given).toEqual([1, 1, 1]);
    const batch = batchOf(given, [0, 0, 0], ["x", "x", "x"]).map((call, i) => ({
      ...call,
      terms: { score: rewards[i]! + 1, brief: -1 },
    }));
    for (const order of [batch, [...batch].reverse()])
      expect(method.estimate!(order).advantages.map(([value]) => value)).toEqual([0, 1, 0]);
    // Between a term of the reward and the weight, the weight decides.
    const turned = batch.map((call, i) => ({ ...call, credit: [0.9, 0.5, 0.7][i]! }));
    expect(method.estimate!(turned).advantages.map(([value]) => value)).toEqual(near([0.9, 0, 0]));
  });

  test("log-probs that are missing are a fault", () => {
    const [{ referenceLogprobs: _, ...call }] = batchOf([1], [0]) as [BatchCall];
    expect(() => crpg().estimate!([call])).toThrow(/no reference log-probs/);
    expect(crpg().needs).toMatchObject({
      reference: true,
      referenceInEstimate: true,
      tokensWithoutAdvantage: true,
    });
    expect(() => crpg({ klMax: 0 })).toThrow(/klMax 0/);
  });
});

describe("REINFORCE++", () => {
  test("rewards less the cost of leaving the start, whitened over the batch", () => {
    const method = reinforcePlusPlus({ klCoefficient: 0.5 });
    expect(method.groupSize).toBe(1);
    expect(method.credit([episode(0.7, {}, ["a"])])).toMatchObject({ hasSignal: true });
    const { advantages } = method.estimate!(batchOf([1, 0], [2, 0]));
    // Costs 0.5 · 1 a token, carried backwards: (1 − 1, 1 − 0.5, 0, 0), then mean 0.125, variance with n − 1.
    const raw = [0, 0.5, 0, 0];
    const deviation = Math.sqrt(raw.reduce((sum, value) => sum + (value - 0.125) ** 2, 0) / 3);
    expect(advantages.flatMap((row) => [...row])).toEqual(
      near(raw.map((value) => (value - 0.125) / deviation)),
    );
  });
  test("without the cost it keeps no copy of the start; with a group baseline it has groups", () => {
    expect(reinforcePlusPlus({ klCoefficient: 0 }).needs.reference).toBe(false);
    expect(reinforcePlusPlus({ baseline: "group" })).toMatchObject({ groupSize: 8 });
    expect(reinforcePlusPlus({ baseline: "group" }).credit(group(1, 0)).advantages[0]![0]).toBeCloseTo(
      0.5,
      9,
    );
  });
});

test("SAPO: GRPO's advantages behind a gate", () => {
  expect(sapo().credit(group(1, 0, 0))).toEqual(grpo().credit(group(1, 0, 0)));
  const onPolicy = { ...specInput, oldLogprobs: specInput.logprobs };
  const wanted = grpo({ aggregation: "sequence-mean" }).loss(onPolicy).gradients.logprobs;
  expect([...sapo().loss(onPolicy).gradients.logprobs]).toEqual(near([...wanted]));
});
