import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  gatedAccumulation,
  gatedAccumulationCard,
  gatedSum,
  type RewardLevel,
} from "../../src/rewards/gated-accumulation.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { callRewards, reward } from "../../src/rewards/terms.ts";
import { between } from "../methods/numbers.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

const field = (name: string) => reward(name, ({ result }) => (result as Record<string, number>)[name]!);
const levels = (...names: readonly string[]): RewardLevel[] => names.map((name) => ({ term: field(name) }));

describe("gatedSum", () => {
  it("has the golden values of G-RA", () => {
    expect(gatedSum([-1, 0.5 + 0.2])).toBeCloseTo(-1, 12);
    expect(gatedSum([1, 0.5 + 0.2])).toBeCloseTo(1.7, 12);
  });

  it("is the paper's formula, with levels counted from the top", () => {
    const row = fc.array(between(-1, 1), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(row, fc.array(between(-1, 1), { minLength: 5, maxLength: 5 }), (values, above) => {
        let wanted = values[0]!;
        for (let i = 1; i < values.length; i++) {
          let product = 1;
          for (let j = 0; j < i; j++) product *= values[j]! > above[j]! ? 1 : 0;
          wanted += values[i]! * product;
        }
        expect(gatedSum(values, above)).toBeCloseTo(wanted, 12);
      }),
    );
  });

  it("opens above a threshold, not at it, and needs every level above to be open", () => {
    expect(gatedSum([0, 5])).toBe(0);
    expect(gatedSum([0.5, 5], 0.5)).toBe(0.5);
    expect(gatedSum([1, -1, 5])).toBe(0);
    expect(gatedSum([1, 1, 5])).toBe(7);
    expect(gatedSum([3])).toBe(3);
    expect(gatedSum([])).toBe(0);
  });

  it("refuses what is no number", () => {
    expect(() => gatedSum([Number.NaN])).toThrow(RewardDefinitionError);
    expect(() => gatedSum([1, 1], [0])).toThrow(/threshold NaN/);
  });
});

describe("gatedAccumulation", () => {
  it("gives the sum, and logs every level and how many counted", async () => {
    const term = gatedAccumulation([
      { term: field("solved") },
      { term: field("patch"), above: 0.5 },
      ...levels("format"),
    ]);
    const group = episodes(
      { solved: 1, patch: 0.6, format: 0.2 },
      { solved: 1, patch: 0.5, format: 0.2 },
      { solved: 0, patch: 0.6, format: 0.2 },
    );
    const values = await totals(term, group);
    expect(values.map((value) => Number(value).toFixed(6))).toEqual(["1.800000", "1.500000", "0.000000"]);
    const [, second] = await term.score(group, context);
    expect(second).toEqual({
      rewards: [
        { name: "accumulated", value: 1.5 },
        { name: "solved", value: 1, logged: true },
        { name: "patch", value: 0.5, logged: true },
        { name: "format", value: 0.2, logged: true },
        { name: "accumulated.open", value: 2, logged: true },
      ],
    });
  });

  it("leaves rewards with their calls, and closed ones at 0 there", async () => {
    const perCall = callRewards("perCall", ({ id }) => id + 1);
    const group = [1, 0].map((solved) =>
      episode({ result: { solved }, calls: [{ agent: "a" }, { agent: "b" }] }),
    );
    const scored = await gatedAccumulation([...levels("solved"), { term: perCall }]).score(group, context);
    const counting = scored.map((one) =>
      "rewards" in one
        ? one.rewards.filter(({ logged }) => logged !== true).map(({ call, value }) => [call, value])
        : [],
    );
    expect(counting).toEqual([
      [
        [undefined, 1],
        [0, 1],
        [1, 2],
      ],
      [
        [undefined, 0],
        [0, 0],
        [1, 0],
      ],
    ]);
  });

  it("fails where a level above says nothing, unless it is told what that means", async () => {
    const absent = callRewards("absent", () => undefined);
    const make = (ifAbsent?: boolean) =>
      gatedAccumulation([
        { term: absent, ...(ifAbsent === undefined ? {} : { ifAbsent }) },
        ...levels("low"),
      ]);
    expect(await totals(make(), episodes({ low: 2 }))).toEqual(["E_REWARD_MISSING"]);
    expect(await totals(make(true), episodes({ low: 2 }))).toEqual([2]);
    expect(await totals(make(false), episodes({ low: 2 }))).toEqual([0]);
    const last = gatedAccumulation([...levels("low"), { term: absent }]);
    expect(await totals(last, episodes({ low: 2 }))).toEqual([2]);
  });

  it("fails with a part, and refuses no levels and thresholds that are no numbers", async () => {
    const failing = reward("failing", () => Number.NaN);
    const term = gatedAccumulation([...levels("low"), { term: failing }]);
    expect(await totals(term, episodes({ low: -1 }))).toEqual(["E_REWARD_NOT_FINITE"]);
    expect(() => gatedAccumulation([])).toThrow(/no terms/);
    expect(() => gatedAccumulation([{ term: field("a"), above: Number.NaN }])).toThrow(/threshold NaN/);
  });

  it("has the default that its card names", async () => {
    const { value } = gatedAccumulationCard.defaults.above!;
    const outcomes = await totals(
      gatedAccumulation(levels("high", "low")),
      episodes({ high: value, low: 1 }, { high: (value as number) + 0.001, low: 1 }),
    );
    expect(outcomes[0]).toBe(value);
    expect(outcomes[1]).toBeCloseTo(1.001, 12);
  });
});
