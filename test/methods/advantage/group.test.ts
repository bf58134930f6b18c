/** The group advantage and the plain sampler under it. */

import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { type GroupAdvantageSettings, groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { JudgedGroup } from "../../../src/methods/parts.ts";
import { fixedGroups } from "../../../src/methods/sampler/fixed.ts";
import { between } from "../numbers.ts";

const exact = { epsilon: 0 };

/** Episodes of one call each, or of several with a reward each. */
const judgedOf = (...episodes: readonly (number | readonly number[])[]): JudgedGroup => {
  const group = {
    task: "t",
    dataset: "",
    episodes: episodes.map((rewards, i) => ({
      id: `e${i}`,
      reward: typeof rewards === "number" ? rewards : 0,
      calls: [rewards].flat().map((reward) => ({ agent: "a", reward })),
    })),
  };
  return { group, ...broadcast().assign(group) };
};
const of = (judged: JudgedGroup, settings: GroupAdvantageSettings = exact) =>
  groupAdvantage(settings).advantages([judged])[0]!;
const flat = (judged: JudgedGroup, settings?: GroupAdvantageSettings) =>
  of(judged, settings).advantages.flatMap((row) => [...row]);
const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 6));

describe("golden", () => {
  // Mean 1/4; deviation √3/4 of the population, 1/2 of the sample.
  const group = judgedOf(1, 0, 0, 0);

  test("the population's deviation, and the sample's", () => {
    const below = -1 / Math.sqrt(3);
    expect(flat(group)).toEqual(near([Math.sqrt(3), below, below, below]));
    expect(flat(group, { ...exact, ddof: 1 })).toEqual(near([1.5, -0.5, -0.5, -0.5]));
  });

  test("without the deviation, against the others, without a baseline", () => {
    expect(flat(group, { divideByDeviation: false })).toEqual(near([0.75, -0.25, -0.25, -0.25]));
    expect(flat(group, { baseline: "others" })).toEqual(near([1, -1 / 3, -1 / 3, -1 / 3]));
    expect(flat(group, { baseline: "none" })).toEqual([1, 0, 0, 0]);
  });

  test("ε is added to the deviation", () => {
    expect(flat(judgedOf(1, 0), { epsilon: 0.5 })).toEqual([0.5, -0.5]);
    expect(flat(judgedOf(1, 0), {})[0]).toBeCloseTo(0.5 / (0.5 + 1e-6), 12);
  });

  test("an episode counts once in its baseline, with the mean of its calls", () => {
    expect(flat(judgedOf([1, 1, 1, 1], 0), { divideByDeviation: false })).toEqual([0.5, 0.5, 0.5, 0.5, -0.5]);
    expect(flat(judgedOf([1, 0], 0), { divideByDeviation: false })).toEqual([0.75, -0.25, -0.25]);
    expect(flat(judgedOf([1, 0], 0), { baseline: "others" })).toEqual([1, 0, -0.5]);
  });

  test("baselines that the credit keeps apart", () => {
    const judged = judgedOf([1, 10], [0, 30]);
    const compared = [
      ["a", "b"],
      ["a", "b"],
    ];
    expect(flat({ ...judged, compared }, exact)).toEqual(near([1, -1, -1, 1]));
  });
});

describe("degenerate groups", () => {
  test("equal values, also up to float noise, have no signal", () => {
    for (const values of [
      [0.3, 0.3, 0.3],
      [0.1 + 0.2, 0.3, 0.3],
    ]) {
      expect(flat(judgedOf(...values))).toEqual([0, 0, 0]);
      expect(of(judgedOf(...values)).hasSignal).toBe(false);
    }
  });

  test("one episode: 0, or the raw value", () => {
    expect(flat(judgedOf(0.7))).toEqual([0]);
    expect(of(judgedOf(0.7)).hasSignal).toBe(false);
    expect(flat(judgedOf(0.7), { single: "raw" })).toEqual([0.7]);
    expect(of(judgedOf(0.7), { single: "raw" }).hasSignal).toBe(true);
    expect(flat(judgedOf(1, 0), { single: "raw", epsilon: 0 })).toEqual([1, -1]);
    expect(flat(judgedOf(0.7), { baseline: "others" })).toEqual([0]);
  });

  test("no episodes, and episodes without calls", () => {
    expect(of(judgedOf())).toEqual({ advantages: [], hasSignal: false });
    // Its reward is in the mean all the same.
    const judged = judgedOf(1, []);
    expect(flat(judged, { divideByDeviation: false })).toEqual([0.5]);
  });
});

describe("properties", () => {
  const rewards = fc.array(between(-2, 2), { minLength: 2, maxLength: 8 });

  test("advantages sum to 0", () => {
    fc.assert(
      fc.property(
        rewards,
        fc.constantFrom<GroupAdvantageSettings>(exact, { baseline: "others" }),
        (values, settings) => {
          const sum = flat(judgedOf(...values), settings).reduce((total, value) => total + value, 0);
          expect(sum).toBeCloseTo(0, 9);
        },
      ),
    );
  });

  test("shifting rewards changes nothing, scaling them only what is not divided", () => {
    fc.assert(
      fc.property(rewards, between(0.5, 3), (values, by) => {
        const group = judgedOf(...values);
        expect(flat(judgedOf(...values.map((value) => value + by)))).toEqual(near(flat(group)));
        expect(flat(judgedOf(...values.map((value) => value * by)))).toEqual(near(flat(group)));
        const plain = { divideByDeviation: false };
        expect(flat(judgedOf(...values.map((value) => value * by)), plain)).toEqual(
          near(flat(group, plain).map((value) => value * by)),
        );
      }),
    );
  });

  test("against the others is n/(n − 1) times against all", () => {
    fc.assert(
      fc.property(rewards, (values) => {
        const n = values.length;
        const all = flat(judgedOf(...values), { divideByDeviation: false });
        const others = flat(judgedOf(...values), { baseline: "others" });
        expect(others).toEqual(near(all.map((value) => (value * n) / (n - 1))));
      }),
    );
  });
});

test("settings that make no sense are refused", () => {
  const wrong = [
    { ddof: 2 },
    { epsilon: -1 },
    { epsilon: Number.NaN },
    { baseline: "mean" },
    { single: "one" },
  ];
  for (const settings of wrong) {
    expect(() => groupAdvantage(settings as unknown as GroupAdvantageSettings)).toThrow(/groupAdvantage has/);
  }
});

test("fixed groups: one wave, and a type that knows one episode", () => {
  for (const size of [0, -1, 1.5, Number.NaN])
    expect(() => fixedGroups(size)).toThrow(/integer of at least 1/);
  const one = fixedGroups(1);
  expectTypeOf(one.samples).toEqualTypeOf<"single">();
  expectTypeOf(fixedGroups().samples).toEqualTypeOf<"group">();
  expect([one.samples, fixedGroups().samples, fixedGroups().groupSize]).toEqual(["single", "group", 8]);
  expect(one.next({} as never)).toEqual([]);
  expect([one.settings, Object.isFrozen(one)]).toEqual([{ groupSize: 1 }, true]);
});
