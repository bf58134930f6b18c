/** Episodes against each other and calls against calls in the same state. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type GigpoAdvantageSettings,
  gigpoAdvantage,
  gigpoAdvantageCard,
} from "../../../src/methods/advantage/gigpo.ts";
import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../../../src/methods/method.ts";
import { stepReturns } from "../../../src/methods/step-returns.ts";
import { between } from "../numbers.ts";

/** Episodes as lists of [state, own reward]. */
const groupOf = (...episodes: readonly (readonly (readonly [string, number])[])[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes: episodes.map((steps) => ({
    reward: steps.reduce((sum, [, reward]) => sum + reward, 0),
    calls: steps.map(([state, reward]) => ({ agent: "a", state, reward, own: reward })),
  })),
});
const of = (group: RewardedGroup, settings: GigpoAdvantageSettings = {}) =>
  gigpoAdvantage(settings).advantages([{ group, ...broadcast().assign(group) }])[0]!;
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly (readonly number[])[]) =>
  expected.map((row) => row.map((value) => expect.closeTo(value, 5)));

const spec = groupOf(
  [
    ["s0", 0],
    ["s1", 0],
    ["s2", 10],
  ],
  [
    ["s0", 0],
    ["s1", 0],
  ],
);

describe("golden values", () => {
  test("returns", () => {
    const [first, second] = spec.episodes as readonly [RewardedEpisode, RewardedEpisode];
    expect(rows([stepReturns(first, Float64Array.of(0, 0, 10), 0.95).returns])).toEqual(
      near([[9.025, 9.5, 10]]),
    );
    expect(rows([stepReturns(second, Float64Array.of(0, 0), 0.95).returns])).toEqual([[0, 0]]);
  });

  test("one value an episode, and one a call", () => {
    expect(rows(of(spec).advantages)).toEqual(
      near([
        [9.5125, 9.75, 5],
        [-9.5125, -9.75],
      ]),
    );
    expect(rows(of(spec, { episodes: "calls" }).advantages)).toEqual(
      near([
        [8.5125, 8.75, 4],
        [-10.5125, -10.75],
      ]),
    );
  });

  test("the step part alone", () => {
    const flat = groupAdvantage({ divideByDeviation: false });
    const judged = [{ group: spec, values: [Float64Array.of(10, 10, 10), Float64Array.of(0, 0)] }];
    const whole = rows(flat.advantages(judged)[0]!.advantages);
    const steps = rows(of(spec).advantages).map((row, i) => row.map((value, j) => value - whole[i]![j]!));
    expect(steps).toEqual(
      near([
        [4.5125, 4.75, 0],
        [-4.5125, -4.75],
      ]),
    );
  });
});

test("with the deviation, both parts are z-scores", () => {
  const { advantages } = of(spec, { norm: "deviation", epsilon: 0 });
  const z = Math.SQRT1_2;
  expect(rows(advantages)).toEqual(
    near([
      [2 * z, 2 * z, z],
      [-2 * z, -2 * z],
    ]),
  );
});

test("without a step part it is the group's advantage", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(between(-1, 1), { minLength: 1, maxLength: 3 }), { maxLength: 5 }),
      (all) => {
        const group = groupOf(...all.map((rewards) => rewards.map((reward) => ["s", reward] as const)));
        const sums = group.episodes.map(({ calls, reward }) => new Float64Array(calls.length).fill(reward));
        const expected = groupAdvantage({ ddof: 1 }).advantages([{ group, values: sums }])[0]!;
        const found = of(group, { stepWeight: 0, norm: "deviation" });
        expect(rows(found.advantages)).toEqual(near(rows(expected.advantages)));
        expect(found.hasSignal).toBe(expected.hasSignal);
      },
    ),
  );
});

test("what the whole episode is rewarded with comes at its end, to each call as its own agent has it", () => {
  const calls: readonly RewardedCall[] = [
    { agent: "a", reward: 3, own: 1 },
    { agent: "b", reward: 2, own: 0 },
    { agent: "a", reward: 2, own: 0 },
  ];
  const { returns, total } = stepReturns({ reward: 2, calls }, Float64Array.of(3, 2, 2), 0.5);
  expect(rows([returns])).toEqual(near([[1.5, 1, 2]]));
  expect(rows([total])).toEqual([[3, 3, 3]]);
});

test("the order is that of issue, not of the list", () => {
  const calls = [
    { agent: "a", reward: 4, own: 4, id: 7 },
    { agent: "a", reward: 0, own: 0, id: 2 },
  ];
  const { returns } = stepReturns({ reward: 4, calls }, Float64Array.of(4, 0), 0.5);
  expect(rows([returns])).toEqual([[4, 2]]);
});

test("what a credit assigner adds to a call is the call's own", () => {
  const { returns, total } = stepReturns(
    { reward: 1, calls: [1, 1].map((reward) => ({ agent: "a", reward, own: 0 })) },
    Float64Array.of(1, 1.5),
    0.5,
  );
  expect(rows([returns, total])).toEqual([
    [0.75, 1.5],
    [1.5, 1.5],
  ]);
});

describe("states", () => {
  const two = (agent: string) => ({
    task: "t",
    dataset: "",
    episodes: [1, 0].map((reward, i) => ({
      reward,
      calls: [{ agent: i === 0 ? "a" : agent, reward, own: reward, state: "s" }],
    })),
  });

  test("are an agent's own", () => {
    expect(rows(of(two("a")).advantages)).toEqual([[1], [-1]]);
    expect(rows(of(two("b")).advantages)).toEqual([[0.5], [-0.5]]);
  });

  test("unknown ones, and the caller's", () => {
    expect(rows(of(two("a"), { anchor: () => undefined }).advantages)).toEqual([[0.5], [-0.5]]);
    const anchor = ({ state }: RewardedCall, { reward }: RewardedEpisode) => `${state}${reward > 5}`;
    expect(rows(of(two("a"), { anchor }).advantages)).toEqual([[1], [-1]]);
  });
});

test("nothing to learn from one episode with new states, from equal ones, from none", () => {
  expect(of(groupOf([["s", 1]])).hasSignal).toBe(false);
  expect(of(groupOf([["s", 1]], [["s", 1]]), { norm: "deviation" }).hasSignal).toBe(false);
  expect(of(groupOf())).toEqual({ advantages: [], hasSignal: false });
  expect(rows(of(groupOf([], [["s", 1]])).advantages)).toEqual([[], [0.5]]);
});

test("calls in one state sum to zero without the episode part, and order does not matter", () => {
  const step = fc.tuple(fc.constantFrom("s", "t", "u"), between(-1, 1));
  fc.assert(
    fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 5 }), (all) => {
      const group = groupOf(...all);
      const whole = rows(of(group, { stepWeight: 0 }).advantages);
      const found = rows(of(group).advantages);
      const sums: Record<string, number> = {};
      all.forEach((steps, i) => {
        steps.forEach(([state], j) => {
          sums[state] = (sums[state] ?? 0) + found[i]![j]! - whole[i]![j]!;
        });
      });
      for (const sum of Object.values(sums)) expect(sum).toBeCloseTo(0, 8);
      const turned = rows(of(groupOf(...all.toReversed())).advantages).toReversed();
      expect(turned).toEqual(near(found));
    }),
  );
});

test("settings are checked, and the card says the defaults", () => {
  expect(() => gigpoAdvantage({ gamma: 1.1 })).toThrow(
    /gamma 1.1; it must be a finite number of at least 0 and at most 1/,
  );
  expect(() => gigpoAdvantage({ norm: "std" as "mean" })).toThrow(/"mean" or "deviation"/);
  expect(() => gigpoAdvantage({ episodes: "rows" as "calls" })).toThrow(/"episodes" or "calls"/);
  expect(gigpoAdvantage().settings).toEqual(
    Object.fromEntries(Object.entries(gigpoAdvantageCard.defaults).map(([name, { value }]) => [name, value])),
  );
});
