/** Focal weights and F-GRPO. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { compose } from "../../../src/methods/compose.ts";
import { fGrpo, fGrpoCard } from "../../../src/methods/f-grpo.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import type { RewardedEpisode } from "../../../src/methods/method.ts";
import { focalWeight, focalWeightCard } from "../../../src/methods/weight/focal.ts";
import { between } from "../numbers.ts";

const episode = (reward: number, recalled = false): RewardedEpisode => ({
  reward,
  calls: [{ agent: "a", reward }],
  ...(recalled ? { recalled } : {}),
});
const group = (...rewards: readonly number[]) => rewards.map((reward) => episode(reward));
const weightOf = (episodes: readonly RewardedEpisode[], part = focalWeight()) =>
  part.weights({
    group: { task: "t", dataset: "", episodes },
    values: episodes.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
  });
const sixOfEight = group(1, 1, 1, 1, 1, 1, 0, 0);

test("golden values: six of eight right", () => {
  expect(weightOf(sixOfEight)[0]![0]).toBeCloseTo(0.5, 12);
  const population = fGrpo({ epsilon: 0 }).credit(sixOfEight).advantages;
  expect(population[0]![0]).toBeCloseTo(0.288675, 6);
  expect(population[7]![0]).toBeCloseTo(-0.866025, 6);
  const sample = fGrpo({ epsilon: 0, ddof: 1 }).credit(sixOfEight).advantages;
  expect(sample[0]![0]).toBeCloseTo(0.270031, 6);
  expect(sample[7]![0]).toBeCloseTo(-0.810093, 6);
});

test("without γ it is the base, whatever the rewards", () => {
  const base = compose({ advantage: groupAdvantage(), loss: clipped() });
  fc.assert(
    fc.property(fc.array(between(-2, 2), { maxLength: 8 }), (rewards) => {
      expect(fGrpo({ gamma: 0 }).credit(group(...rewards))).toEqual(base.credit(group(...rewards)));
    }),
  );
});

test("a weight is a share, falls with the mean, and is one for all of the group", () => {
  fc.assert(
    fc.property(fc.array(between(-1, 2), { minLength: 1, maxLength: 8 }), between(0, 3), (rewards, gamma) => {
      const [first, ...rest] = weightOf(group(...rewards), focalWeight({ gamma })).map(([value]) => value!);
      expect(rest.every((value) => value === first)).toBe(true);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(first).toBeLessThanOrEqual(1);
      const better = weightOf(group(...rewards.map((reward) => reward + 0.1)), focalWeight({ gamma }));
      expect(better[0]![0]!).toBeLessThanOrEqual(first!);
    }),
  );
});

test("rewards of another scale", () => {
  expect(weightOf(group(10, -10, -10, -10), focalWeight({ right: 10, wrong: -10, gamma: 1 }))[0]![0]).toBe(
    0.75,
  );
});

test("what was recalled does not count; nothing sampled now, or nothing at all: the weight is 1", () => {
  expect(weightOf([...group(0, 0, 0), episode(1, true)], focalWeight({ gamma: 1 }))[0]![0]).toBe(1);
  expect(weightOf([episode(1, true)])[0]![0]).toBe(1);
  expect(weightOf([])).toEqual([]);
});

test("F-GRPO on another loss", () => {
  const { settings } = fGrpo({ loss: clipped({ clipLow: 1, clipHigh: 5 }) });
  expect(settings["loss/clipped"]).toMatchObject({ clipLow: 1, clipHigh: 5 });
});

test("settings are checked, and the cards say the defaults", () => {
  expect(() => focalWeight({ gamma: -1 })).toThrow(/gamma -1; it must be a finite number of at least 0/);
  expect(() => focalWeight({ right: 0 })).toThrow(/right 0/);
  const { settings } = focalWeight();
  for (const [name, { value }] of Object.entries(focalWeightCard.defaults))
    expect(settings[name]).toBe(value);
  const method = fGrpo();
  const all = { groupSize: method.groupSize, ...Object.assign({}, ...Object.values(method.settings)) };
  for (const [name, { value }] of Object.entries(fGrpoCard.defaults)) expect(all[name], name).toBe(value);
});
