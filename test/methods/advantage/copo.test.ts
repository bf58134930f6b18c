/** Tasks against each other where a group's answers agree. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answerEntropy, answerOf, copoAdvantage, copoWeight } from "../../../src/methods/advantage/copo.ts";
import { type CopoSettings, copo, copoCard } from "../../../src/methods/copo.ts";
import type { RewardedGroup } from "../../../src/methods/method.ts";
import { between } from "../numbers.ts";

/** Episodes as [answer, reward]. */
const groupOf = (...episodes: readonly (readonly [string, number])[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes: episodes.map(([result, reward]) => ({ result, reward, calls: [{ agent: "a", reward }] })),
});
const of = (groups: readonly RewardedGroup[], settings: CopoSettings = {}) =>
  copo({ epsilon: 0, ...settings }).creditAll!(groups).map(({ advantages }) =>
    advantages.map(([value]) => value!),
  );
const near = (rows: readonly (readonly number[])[], digits = 5) =>
  rows.map((row) => row.map((value) => expect.closeTo(value, digits)));

const first = groupOf(["A", 1], ["A", 1], ["B", 0], ["C", 0]);
const second = groupOf(["D", 0], ["D", 0], ["D", 0], ["D", 0]);

describe("golden values", () => {
  test("entropies and weights", () => {
    expect(answerEntropy(first)).toBeCloseTo(1.039721, 6);
    expect(answerEntropy(first, answerOf, 2)).toBeCloseTo(1.5, 12);
    expect(answerEntropy(second)).toBeCloseTo(0, 12);
    expect(copoWeight(1.039721, { sharpness: 20, turn: 1.5 })).toBeCloseTo(0.0001, 6);
    expect(copoWeight(1.5, { sharpness: 20, turn: 1.5 })).toBe(0.5);
  });

  test("in bits", () => {
    expect(of([first, second], { logBase: 2 })).toEqual(
      near([
        [1, 1, 0, 0],
        [-1, -1, -1, -1],
      ]),
    );
  });

  test("in nats it is all the tasks' own", () => {
    expect(of([first, second])).toEqual(
      near(
        [
          [1, 1, 1, 1],
          [-1, -1, -1, -1],
        ],
        3,
      ),
    );
  });
});

test("with one update a batch the blend has the gradient of the two surrogates together", () => {
  const { loss } = copo();
  const old = Float32Array.of(-1, -0.2, -3);
  const gradient = (advantage: number) =>
    loss({
      lengths: [3],
      logprobs: old,
      oldLogprobs: old,
      advantages: new Float32Array(3).fill(advantage),
      totals: { sequences: 1, tokens: 3 },
    }).gradients.logprobs;
  fc.assert(
    fc.property(between(-2, 2), between(-2, 2), between(0, 1), (local, whole, weight) => {
      const apart = gradient(local).map((value, t) => weight * value + (1 - weight) * gradient(whole)[t]!);
      const blended = gradient(weight * local + (1 - weight) * whole);
      expect([...blended]).toEqual([...apart].map((value) => expect.closeTo(value, 5)));
    }),
  );
});

test("a weight of 1 is the group's advantage, of 0 the task's", () => {
  const groups = [first, groupOf(["x", 0.5], ["y", 0.5], ["x", 0.5], ["x", 0.1])];
  const sharp = { sharpness: 1e6 };
  const [local] = of(groups, { ...sharp, turn: -1 });
  expect(local).toEqual(near([[1, 1, -1, -1]])[0]);
  expect(of(groups, { ...sharp, turn: 9 })).toEqual(
    near([
      [1, 1, 1, 1],
      [-1, -1, -1, -1],
    ]),
  );
});

test("what an answer is", () => {
  const call = { agent: "a", reward: 0, text: " 4 \n" };
  expect(answerOf({ reward: 0, calls: [call] })).toBe("4");
  expect(answerOf({ reward: 0, calls: [call], result: " 5 " })).toBe("5");
  expect(answerOf({ reward: 0, calls: [call], result: { x: 1 } })).toBe('{"x":1}');
  expect(answerOf({ reward: 0, calls: [] })).toBe("");
  const same = { answer: () => "same", logBase: 2 } as const;
  expect(of([first, second], same)[0]).toEqual(near([[1, 1, 1, 1]], 4)[0]);
});

test("one task: nothing to compare it with; none, an empty one, one episode", () => {
  const [alone] = of([first], { logBase: 2 });
  expect(alone).toEqual(near([[0.5, 0.5, -0.5, -0.5]])[0]);
  expect(of([])).toEqual([]);
  expect(of([groupOf(), first, second], { logBase: 2 })).toEqual([
    [],
    ...of([first, second], { logBase: 2 }),
  ]);
  const { hasSignal } = copo().creditAll!([groupOf(["A", 1])])[0]!;
  expect(hasSignal).toBe(false);
});

test("an episode without calls moves the mean of its task", () => {
  const [group] = [groupOf(["A", 1], ["A", 0])];
  const quiet = { ...group!, episodes: [group!.episodes[0]!, { reward: 0, result: "A", calls: [] }] };
  const [found] = of([quiet, second, groupOf(["B", 0.5])], { sharpness: 1e6, turn: 9 });
  // Means 0.5, 0, 0.5.
  expect(found![0]).toBeCloseTo(Math.SQRT1_2, 6);
});

test("the order of tasks and episodes does not matter; tasks' parts sum to zero over tasks", () => {
  const episode = fc.tuple(fc.constantFrom("A", "B", "C"), between(0, 1));
  fc.assert(
    fc.property(fc.array(fc.array(episode, { minLength: 1, maxLength: 5 }), { maxLength: 4 }), (drawn) => {
      const groups = drawn.map((episodes) => groupOf(...episodes));
      const found = of(groups, { sharpness: 1 });
      const turned = of(
        drawn.toReversed().map((episodes) => groupOf(...episodes.toReversed())),
        { sharpness: 1 },
      );
      expect(turned.toReversed().map((row) => row.toReversed())).toEqual(near(found, 8));
      const whole = of(groups, { sharpness: 1e6, turn: 99 }).map(([value]) => value!);
      expect(whole.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 8);
    }),
  );
});

test("settings are checked, and the cards say the defaults", () => {
  expect(() => copo({ logBase: 10 as 2 })).toThrow(/logBase 10; it must be "e" or 2/);
  expect(() => copo({ sharpness: -1 })).toThrow(/sharpness -1/);
  expect(() => copo({ ddof: 2 as 1 })).toThrow(/ddof 2/);
  const { settings } = copoAdvantage();
  const all = { ...settings, groupSize: copo().groupSize, clip: 0.2 };
  expect(all).toEqual(
    Object.fromEntries(Object.entries(copoCard.defaults).map(([name, { value }]) => [name, value])),
  );
  expect(copo().settings["loss/clipped"]).toMatchObject({ clipLow: 0.2, clipHigh: 0.2 });
});
