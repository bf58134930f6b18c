/** Rewards by their ranks, as normal quantiles. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  g2rpoAdvantage,
  g2rpoAdvantageCard,
  transportedToNormal,
} from "../../../src/methods/advantage/g2rpo.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { RewardedGroup } from "../../../src/methods/method.ts";
import { normalQuantile } from "../../../src/methods/normal-quantile.ts";
import { between } from "../numbers.ts";

const groupOf = (rewards: readonly number[], dataset = "math"): RewardedGroup => ({
  task: "t",
  dataset,
  episodes: rewards.map((reward) => ({ reward, calls: [{ agent: "a", reward }] })),
});
const creditOf = (groups: readonly RewardedGroup[], filter = true) =>
  g2rpoAdvantage({ filter }).advantages(groups.map((group) => ({ group, ...broadcast().assign(group) })));
const of = (groups: readonly RewardedGroup[], filter = true) =>
  creditOf(groups, filter).map(({ advantages }) => advantages.map(([value]) => value!));
const near = (values: readonly number[], digits = 5) => values.map((value) => expect.closeTo(value, digits));

describe("normal quantile", () => {
  test("known values", () => {
    for (const [share, quantile] of [
      [0.975, 1.959963984540054],
      [0.5, 0],
      [0.01, -2.3263478740408408],
      [0.001, -3.090232306167813],
      [0.9999, 3.719016485455709],
      [0.125, -1.1503493803760079],
    ] as const)
      expect(normalQuantile(share)).toBeCloseTo(quantile, 7);
    expect([0, 1, -1, 2].map(normalQuantile)).toEqual([-Infinity, Infinity, Number.NaN, Number.NaN]);
  });

  test("its slope is that of the distribution: 1 / φ(z), also where the approximations meet", () => {
    fc.assert(
      fc.property(between(0.002, 0.998), (share) => {
        const step = 1e-5;
        const slope = (normalQuantile(share + step) - normalQuantile(share - step)) / (2 * step);
        const density = Math.exp(-(normalQuantile(share) ** 2) / 2) / Math.sqrt(2 * Math.PI);
        expect(slope * density).toBeCloseTo(1, 3);
      }),
    );
  });
});

describe("golden values", () => {
  test("one map", () => {
    expect([...transportedToNormal([0, 0.2, 0.9, 0.9])]).toEqual(
      near([-1.150349, -0.318639, 0.734494, 0.734494]),
    );
    expect([...transportedToNormal([0, 1])]).toEqual(near([-0.67449, 0.67449]));
  });

  test("both maps", () => {
    expect(of([groupOf([0, 1]), groupOf([0.1, 0.9])])).toEqual([
      near([-0.734494, 0.734494]),
      near([-0.734494, 0.734494]),
    ]);
  });

  test("the leak, where groups without spread are ranked too", () => {
    const groups = [groupOf([0, 0, 1]), groupOf([1, 1, 1])];
    const [first, second] = of(groups, false);
    expect(first).toEqual(near([-1.028742, -1.028742, 1.382994]));
    expect(second).toEqual(near([0.22483, 0.22483, 0.22483]));
    expect(of(groups)[1]).toEqual([0, 0, 0]);
    expect(creditOf(groups).map(({ hasSignal }) => hasSignal)).toEqual([true, false]);
  });
});

test("nothing, one value, equal values", () => {
  expect([...transportedToNormal([])]).toEqual([]);
  expect([...transportedToNormal([3])]).toEqual([0]);
  expect([...transportedToNormal([3, 3, 3])]).toEqual(near([0, 0, 0], 12));
  // What was computed twice may differ in its last bit.
  const [a, b] = transportedToNormal([0.1 + 0.2, 0.3, 1]);
  expect(a).toBe(b);
  expect(of([groupOf([1]), groupOf([])])).toEqual([[0], []]);
});

test("kinds of task are ranked apart, and baselines that a credit assigner keeps apart", () => {
  const apart = of([groupOf([0, 1], "math"), groupOf([0, 0.2, 1], "game")]);
  expect(apart[0]).toEqual(near([-0.67449, 0.67449]));
  expect(apart[1]).toEqual(near([-0.967422, 0, 0.967422]));
  const group = groupOf([0, 0]);
  const values = [Float64Array.of(1, 10), Float64Array.of(2, 0)];
  const episodes = group.episodes.map(({ calls, reward }) => ({ reward, calls: [calls[0]!, calls[0]!] }));
  const compared = [
    ["a", "b"],
    ["a", "b"],
  ];
  const [credit] = g2rpoAdvantage().advantages([{ group: { ...group, episodes }, values, compared }]);
  expect(credit!.advantages.map((row) => [...row])).toEqual([
    near([-0.67449, 0.67449]),
    near([0.67449, -0.67449]),
  ]);
});

test("only ranks count, ranks keep their order, a kind sums to zero", () => {
  const rewards = fc.array(between(0, 1), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(rewards, { minLength: 1, maxLength: 4 }), (all) => {
      const found = of(all.map((each) => groupOf(each)));
      const stretched = of(all.map((each) => groupOf(each.map((reward) => Math.exp(3 * reward)))));
      expect(stretched).toEqual(found.map((row) => near(row, 8)));
      expect(found.flat().reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 7);
      all.forEach((each, k) => {
        each.forEach((reward, i) => {
          each.forEach((other, j) => {
            if (reward > other) expect(found[k]![i]!).toBeGreaterThan(found[k]![j]!);
            if (reward === other) expect(found[k]![i]!).toBeCloseTo(found[k]![j]!, 9);
          });
        });
      });
      const turned = of(all.map((each) => groupOf(each.toReversed())).toReversed());
      expect(turned.toReversed().map((row) => row.toReversed())).toEqual(found.map((row) => near(row, 8)));
    }),
  );
});

test("the card says the default", () => {
  expect(g2rpoAdvantage().settings).toEqual({ filter: g2rpoAdvantageCard.defaults.filter!.value });
});
