import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  percentileReward,
  percentileRewardCard,
  percentileScore,
  percentilesOf,
} from "../../src/rewards/percentile-reward.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { callRewards, reward } from "../../src/rewards/terms.ts";
import { between } from "../methods/numbers.ts";
import { context, episode, totals } from "./episodes.ts";

const easy = { p25: 0.08, p50: 0.12, p75: 0.2 };
const value = reward("value", ({ result }) => result as number);

describe("percentileScore", () => {
  it("has the golden values of MedGRPO", () => {
    for (const [x, wanted] of [
      [0, 0.047426],
      [0.12, 0.5],
      [0.24, 0.952574],
    ] as const)
      expect(percentileScore(x, easy)).toBeCloseTo(wanted, 6);
  });

  it("takes k, and a floor where there is no range", () => {
    expect(percentileScore(0.24, easy, { steepness: 1 })).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
    const flat = { p25: 0.5, p50: 0.5, p75: 0.5 };
    expect(percentileScore(0.5, flat)).toBe(0.5);
    expect(percentileScore(0.501, flat)).toBeCloseTo(1 / (1 + Math.exp(-3)), 9);
    expect(percentileScore(0.6, flat, { smallestRange: 0.1 })).toBeCloseTo(1 / (1 + Math.exp(-3)), 9);
    expect(percentileScore(-1e9, flat)).toBe(0);
  });

  it("rises with the value, mirrored about the median", () => {
    fc.assert(
      fc.property(between(-1, 1), between(-1, 1), (x, y) => {
        const [low, high] = [Math.min(x, y), Math.max(x, y)];
        expect(percentileScore(low, easy)).toBeLessThanOrEqual(percentileScore(high, easy));
        expect(percentileScore(0.12 + x, easy) + percentileScore(0.12 - x, easy)).toBeCloseTo(1, 9);
      }),
    );
  });

  it("refuses percentiles out of order and settings that make no sense", () => {
    const wrong = [
      { ...easy, p25: 0.3 },
      { ...easy, p75: 0.1 },
      { ...easy, p50: Number.NaN },
    ];
    for (const one of wrong) expect(() => percentileScore(0, one)).toThrow(RewardDefinitionError);
    expect(() => percentileScore(0, easy, { steepness: 0 })).toThrow(RewardDefinitionError);
    expect(() => percentileScore(0, easy, { smallestRange: 0 })).toThrow(RewardDefinitionError);
    expect(() => percentileScore(Number.NaN, easy)).toThrow(RewardDefinitionError);
    expect(() => percentileReward(value, { percentiles: { easy: { ...easy, p25: 1 } } })).toThrow(
      /ascending/,
    );
  });
});

describe("percentilesOf", () => {
  it("interpolates linearly, whatever the order", () => {
    expect(percentilesOf([4, 1, 3, 2, 5])).toEqual({ p25: 2, p50: 3, p75: 4 });
    expect(percentilesOf([0, 1])).toEqual({ p25: 0.25, p50: 0.5, p75: 0.75 });
    expect(percentilesOf([7])).toEqual({ p25: 7, p50: 7, p75: 7 });
    expect(() => percentilesOf([])).toThrow(RewardDefinitionError);
    expect(() => percentilesOf([1, Number.NaN])).toThrow(RewardDefinitionError);
  });
});

describe("percentileReward", () => {
  const percentiles = { easy, hard: { p25: 0, p50: 0.5, p75: 1 } };

  it("maps each value by the data set of its task, and keeps the raw one in the logs", async () => {
    const term = percentileReward(value, { percentiles });
    const group = [
      episode({ result: 0.12, task: { dataset: "easy" } }),
      episode({ result: 0.12, task: { dataset: "hard" } }),
    ];
    const [first, second] = await totals(term, group);
    expect(first).toBe(0.5);
    expect(second).toBeCloseTo(1 / (1 + Math.exp(3 * 0.38)), 12);
    const [scored] = await term.score(group, context);
    expect(scored).toMatchObject({
      rewards: [{ name: "percentile(value)" }, { name: "value", value: 0.12, logged: true }],
    });
    const own = percentileReward(value, { percentiles, dataset: () => "hard", name: "mine" });
    expect((await totals(own, group))[0]).toBeCloseTo(second as number, 12);
  });

  it("works place by place", async () => {
    const perCall = callRewards("perCall", ({ id }) => 0.12 * id);
    const group = [
      episode({ task: { dataset: "easy" }, calls: [{ agent: "a" }, { agent: "a" }, { agent: "a" }] }),
    ];
    const [scored] = await percentileReward(perCall, { percentiles }).score(group, context);
    const counting = "rewards" in scored! ? scored.rewards.filter(({ logged }) => logged !== true) : [];
    expect(counting.map(({ call }) => call)).toEqual([0, 1, 2]);
    for (const [i, wanted] of [0.047426, 0.5, 0.952574].entries())
      expect(counting[i]!.value).toBeCloseTo(wanted, 6);
  });

  it("fails for a data set that it does not know, that episode alone", async () => {
    const term = percentileReward(value, { percentiles });
    const group = [
      episode({ result: 0, task: { dataset: "toString" } }),
      episode({ result: 0, task: null }),
      episode({ result: 0.12, task: { dataset: "easy" } }),
    ];
    expect(await totals(term, group)).toEqual(["E_REWARD_DATASET", "E_REWARD_DATASET", 0.5]);
    const throwing = percentileReward(value, {
      percentiles,
      dataset: ({ result }) => {
        if (result === 0) throw new Error("unknown");
        return "easy";
      },
    });
    expect(await totals(throwing, group)).toEqual(["E_REWARD_THREW", "E_REWARD_THREW", 0.5]);
  });

  it("has the defaults of its card", () => {
    const { steepness, smallestRange } = percentileRewardCard.defaults;
    const told = { steepness: steepness!.value as number, smallestRange: smallestRange!.value as number };
    const flat = { p25: 0.1, p50: 0.1, p75: 0.1 };
    for (const known of [easy, flat])
      expect(percentileScore(0.1004, known)).toBe(percentileScore(0.1004, known, told));
  });
});
