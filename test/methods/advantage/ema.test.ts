/** Advantages in units of a remembered deviation, and EMA-GRPO. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emaAdvantage, emaAdvantageCard } from "../../../src/methods/advantage/ema.ts";
import { emaGrpo, emaGrpoCard } from "../../../src/methods/ema-grpo.ts";
import type { Method, RewardedGroup } from "../../../src/methods/method.ts";
import { between } from "../numbers.ts";

const groupOf = (rewards: readonly number[], dataset = "math"): RewardedGroup => ({
  task: JSON.stringify([dataset, rewards]),
  dataset,
  episodes: rewards.map((reward) => ({ reward, calls: [{ agent: "a", reward }] })),
});
const advantagesOf = (method: Method, groups: readonly RewardedGroup[]) =>
  method.creditAll!(groups).map(({ advantages }) => advantages.map(([value]) => value!));
const near = (rows: readonly (readonly number[])[]) =>
  rows.map((row) => row.map((value) => expect.closeTo(value, 5)));
const step = (method: Method, groups: readonly RewardedGroup[]) => {
  const found = advantagesOf(method, groups);
  method.observe!({ step: 1, steps: 9, groups, statistics: {} });
  return found;
};
const momentsOf = (method: Method) => (method.state!() as Record<string, unknown>)["advantage/ema"];

test("golden values: two steps", () => {
  const method = emaGrpo({ epsilon: 0 });
  expect(step(method, [groupOf([1, 0]), groupOf([1, 1])])).toEqual(
    near([
      [1.154701, -1.154701],
      [0, 0],
    ]),
  );
  expect(momentsOf(method)).toEqual({ math: { mean: 0.75, meanSquare: 0.75 } });
  expect(step(method, [groupOf([0, 0]), groupOf([1, 0])])).toEqual(
    near([
      [0, 0],
      [1.147154, -1.147154],
    ]),
  );
  expect(momentsOf(method)).toEqual({
    math: { mean: expect.closeTo(0.745, 12), meanSquare: expect.closeTo(0.745, 12) },
  });
});

test("the deviation of each kind of task is a metric; of each task it is none", () => {
  const method = emaGrpo({ leastSigma: 0.01 });
  step(method, [groupOf([1, 0]), groupOf([100, 0], "game"), groupOf([3, 3], "flat")]);
  expect(method.metrics!()).toEqual({ "sigma.math": 0.5, "sigma.game": 50, "sigma.flat": 0.01 });
  const byTask = emaGrpo({ by: "task" });
  step(byTask, [groupOf([1, 0])]);
  expect(byTask.metrics!()).toEqual({});
});

test("advantages are pure: what is asked twice, or only tried, changes nothing", () => {
  const method = emaGrpo();
  step(method, [groupOf([1, 0, 1])]);
  const before = method.state!();
  const first = advantagesOf(method, [groupOf([0.2, 0.9])]);
  expect(advantagesOf(method, [groupOf([0.2, 0.9])])).toEqual(first);
  method.credit(groupOf([5, 9]).episodes);
  expect(method.state!()).toEqual(before);
});

test("kinds of tasks have moments of their own; or each task has", () => {
  const method = emaGrpo();
  step(method, [groupOf([1, 0], "math"), groupOf([100, 0], "game")]);
  expect(momentsOf(method)).toEqual({
    math: { mean: 0.5, meanSquare: 0.5 },
    game: { mean: 50, meanSquare: 5000 },
  });
  const each = emaGrpo({ by: "task" });
  step(each, [groupOf([1, 0]), groupOf([3, 0])]);
  expect(Object.keys(momentsOf(each) as object)).toHaveLength(2);
});

test("the guard: a group beyond it is divided by its own deviation, and only that group", () => {
  const method = emaGrpo({ epsilon: 0, decay: 0.999 });
  step(method, [groupOf([0.5, 0.6])]);
  const [wild, calm] = advantagesOf(method, [groupOf([9, 1]), groupOf([0.5, 0.6])]);
  expect(wild).toEqual([1, -1]);
  // m₁ = 0.999 · 0.55 + 0.001 · 2.775, m₂ = 0.999 · 0.305 + 0.001 · 20.6525
  const sigma = Math.sqrt(0.3253475 - 0.552225 ** 2);
  expect(calm![0]).toBeCloseTo(-0.05 / sigma, 9);
});

test("moments without spread: σ has a floor, which the guard then takes away from groups that have it", () => {
  const method = emaGrpo({ epsilon: 0, decay: 0 });
  expect(advantagesOf(method, [groupOf([1, 1]), groupOf([1, 1])])).toEqual([
    [0, 0],
    [0, 0],
  ]);
  const wide = emaGrpo({ leastSigma: 10 });
  expect(advantagesOf(wide, [groupOf([1, 0])])).toEqual(near([[0.05, -0.05]]));
});

test("what baselines a credit assigner keeps apart are remembered apart, with its values", () => {
  const part = emaAdvantage({ epsilon: 0 });
  const group = groupOf([0, 1]);
  const judged = {
    group,
    values: [Float64Array.of(3), Float64Array.of(5)],
    compared: [["cook"], ["waiter"]],
  };
  expect(part.advantages([judged])[0]!.hasSignal).toBe(false);
  part.observe!({ step: 1, steps: 1, groups: [group], statistics: {} });
  expect(part.state!()).toEqual({
    '["math","cook"]': { mean: 3, meanSquare: 9 },
    '["math","waiter"]': { mean: 5, meanSquare: 25 },
  });
});

describe("edges", () => {
  test("one episode, no episode, no group", () => {
    const method = emaGrpo();
    expect(advantagesOf(method, [groupOf([1])])).toEqual([[0]]);
    expect(advantagesOf(method, [groupOf([])])).toEqual([[]]);
    expect(step(method, [])).toEqual([]);
    expect(momentsOf(method)).toEqual({});
  });

  test("an episode without calls moves the baseline", () => {
    const method = emaGrpo({ epsilon: 0 });
    const group = groupOf([1, 0]);
    const quiet = { ...group, episodes: [group.episodes[0]!, { reward: 0, calls: [] }] };
    expect(advantagesOf(method, [quiet])).toEqual([[1, undefined]]);
  });
});

test("what it knows survives a checkpoint; what is not its own is refused", () => {
  const method = emaGrpo();
  step(method, [groupOf([1, 0, 0.3])]);
  const other = emaGrpo();
  other.restore!(JSON.parse(JSON.stringify(method.state!())));
  expect(other.state!()).toEqual(method.state!());
  const next = [groupOf([0.1, 0.9])];
  expect(advantagesOf(other, next)).toEqual(advantagesOf(method, next));
  for (const wrong of [{ math: { mean: 1 } }, null, { math: { mean: 1, meanSquare: "1" } }]) {
    expect(() => emaAdvantage().restore!(wrong)).toThrow(/moments of emaAdvantage/);
  }
});

test("groups sum to zero and follow their episodes, in any order", () => {
  const rewards = fc.array(between(0, 1), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(rewards, { minLength: 1, maxLength: 4 }), between(0, 0.9), (all, decay) => {
      const method = emaGrpo({ decay });
      step(method, [groupOf([0, 1, 1])]);
      const found = advantagesOf(
        method,
        all.map((each) => groupOf(each)),
      );
      for (const row of found) expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 8);
      const turned = advantagesOf(method, all.map((each) => groupOf(each.toReversed())).toReversed());
      expect(turned.toReversed().map((row) => row.toReversed())).toEqual(near(found));
    }),
  );
});

test("settings are checked, and the cards say the defaults", () => {
  expect(() => emaGrpo({ decay: 1 })).toThrow(/decay 1; it must be at least 0 and below 1/);
  expect(() => emaGrpo({ leastSigma: 0 })).toThrow(/leastSigma 0; it must be a finite number above 0/);
  expect(() => emaGrpo({ by: "agent" as "task" })).toThrow(/"dataset" or "task"/);
  const { settings } = emaAdvantage();
  expect(Object.keys(settings).sort()).toEqual(Object.keys(emaAdvantageCard.defaults).sort());
  for (const [name, { value }] of Object.entries(emaAdvantageCard.defaults))
    expect(settings[name]).toBe(value);
  const method = emaGrpo();
  const all = { ...Object.assign({}, ...Object.values(method.settings)) };
  for (const [name, { value }] of Object.entries(emaGrpoCard.defaults)) expect(all[name], name).toBe(value);
});
