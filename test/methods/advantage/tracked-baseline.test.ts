/** One episode a task against what is remembered of it, entropy shaping, and MSSR. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { trackedBaseline, trackedBaselineCard } from "../../../src/methods/advantage/tracked-baseline.ts";
import { betaAfter, betaMean, keptShare, taskWeight } from "../../../src/methods/beta-tracker.ts";
import type { BatchCall, RewardedGroup, StepFacts } from "../../../src/methods/method.ts";
import { mssr, mssrCard } from "../../../src/methods/mssr.ts";
import { entropyShaping, entropyShapingCard } from "../../../src/methods/weight/entropy-shaping.ts";
import { between } from "../numbers.ts";

const groupOf = (task: string, ...rewards: readonly number[]): RewardedGroup => ({
  task,
  dataset: "",
  episodes: rewards.map((reward) => ({ reward, calls: [{ agent: "a", reward }] })),
});
const facts = (groups: readonly RewardedGroup[], ...kls: readonly number[]): StepFacts => ({
  step: 1,
  steps: 9,
  groups,
  statistics: Object.fromEntries(kls.map((kl, i) => [`p${i}`, { kl }])),
});
const judged = (groups: readonly RewardedGroup[]) =>
  groups.map((group) => ({
    group,
    values: group.episodes.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
  }));
const of = (part: ReturnType<typeof trackedBaseline>, groups: readonly RewardedGroup[]) =>
  part.advantages(judged(groups)).flatMap(({ advantages }) => advantages.flatMap((row) => [...row]));
const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));
const remembering = (settings = {}) => {
  const part = trackedBaseline({ epsilon: 0, ...settings });
  part.restore!({ tasks: { hard: { a: 3, b: 5 } }, kls: [] });
  return part;
};

test("tasks weigh √(v̂ (1 − v̂)) where asked: one never met ½", () => {
  expect(trackedBaseline().taskWeights).toBeUndefined();
  const part = remembering({ chooseTasks: true });
  const [hard, fresh] = Array.from(part.taskWeights!(["hard", "new"]));
  expect([hard, fresh]).toEqual(near([Math.sqrt((3 / 8) * (5 / 8)), 0.5]));
  expect(mssr({ chooseTasks: true }).taskWeights!(["new"])).toEqual([0.5]);
});

test("metrics: how many tasks are tracked, and the mean of what is expected of them", () => {
  const part = remembering();
  expect(part.metrics!()).toEqual({ trackedTasks: 1, trackedBaseline: 0.375 });
  part.observe!(facts([groupOf("new", 1)]));
  const { a, b } = betaAfter({ a: 4, b: 4 }, 1, 0.96);
  expect(part.metrics!()).toEqual({ trackedTasks: 2, trackedBaseline: (0.375 + a / (a + b)) / 2 });
  expect(trackedBaseline().metrics!()).toEqual({});
});

describe("golden values", () => {
  test("raw and whitened", () => {
    const groups = [groupOf("hard", 1), groupOf("new", 0)];
    expect(of(remembering({ whiten: false }), groups)).toEqual([0.625, -0.5]);
    expect(of(remembering(), groups)).toEqual(near([1, -1]));
    expect(of(remembering({ ddof: 1 }), groups)).toEqual(near([Math.SQRT1_2, -Math.SQRT1_2]));
  });

  test("the tracker", () => {
    const after = betaAfter({ a: 3, b: 5 }, 1, 0.9);
    expect(after).toEqual({ a: expect.closeTo(3.7, 12), b: expect.closeTo(4.5, 12) });
    expect(betaMean(after)).toBeCloseTo(0.45122, 6);
  });

  test("entropy shaping", () => {
    const batch = [1, -1].map(
      (credit): BatchCall => ({
        episode: "e",
        agent: "a",
        occurrence: 0,
        scope: "",
        order: 0,
        length: 2,
        credit,
        entropies: Float32Array.of(0.5, 2),
      }),
    );
    const rows = batch.map(({ credit }) => new Float32Array(2).fill(credit));
    const shaped = entropyShaping().apply(rows, batch);
    expect([...shaped[0]!]).toEqual(near([1.2, 1.5]));
    expect([...shaped[1]!]).toEqual(near([-0.8, -0.5]));
    expect([...rows[0]!]).toEqual([1, 1]);
    const whole = mssr().estimate!(batch).advantages;
    expect(whole).toEqual(shaped);
  });
});

test("how much is kept falls from most to least as the policy moves", () => {
  const forgetting = { least: 0.875, most: 0.96, klTarget: 0.06 };
  expect(keptShare([], forgetting)).toBe(0.96);
  expect(keptShare([0.03], forgetting)).toBeCloseTo(0.9175, 12);
  expect(keptShare([0.01, 0.05], forgetting)).toBeCloseTo(0.9175, 12);
  expect(keptShare([9], forgetting)).toBeCloseTo(0.875, 12);
  expect(keptShare([-1e-9], forgetting)).toBe(0.96);
  expect([0, 0.5, 1].map(taskWeight)).toEqual([0, 0.5, 0]);
});

test("what is learned in a step: tasks, in reward's own scale, and the policies' mean KL of twenty steps", () => {
  const part = trackedBaseline({ right: 2, wrong: -2 });
  // r = 1 and ½; η = 0.9175 with a KL of 0.03.
  part.observe!(facts([groupOf("t", 2), groupOf("u", 3, -2)], 0.02, 0.04));
  expect(part.state!()).toEqual({
    tasks: {
      t: { a: expect.closeTo(4.67, 9), b: expect.closeTo(3.67, 9) },
      u: { a: expect.closeTo(0.9175 * 4 + 0.625, 9), b: expect.closeTo(0.9175 * 4 + 0.375, 9) },
    },
    kls: [expect.closeTo(0.03, 12)],
  });
  for (let i = 0; i < 30; i++) part.observe!(facts([], i));
  expect((part.state!() as { kls: number[] }).kls).toEqual(Array.from({ length: 20 }, (_, i) => i + 10));
  part.observe!(facts([]));
  expect((part.state!() as { kls: number[] }).kls).toHaveLength(20);
});

test("the baseline is in the reward's own scale", () => {
  const part = remembering({ whiten: false, right: 6, wrong: -2 });
  expect(of(part, [groupOf("hard", 6), groupOf("new", -2)])).toEqual([5, -4]);
});

test("rewards beyond right and wrong count as those; recalled episodes and groups without any do not", () => {
  const part = trackedBaseline();
  const recalled = { reward: 0, calls: [], recalled: true };
  const group = groupOf("t", 5);
  part.observe!(facts([{ ...group, episodes: [...group.episodes, recalled] }]));
  part.observe!(facts([groupOf("none"), { ...groupOf("old"), episodes: [recalled] }]));
  expect(part.state!()).toEqual({ tasks: { t: { a: 4.84, b: 3.84 } }, kls: [] });
});

test("advantages are pure, and names of tasks are only names", () => {
  const part = trackedBaseline({ whiten: false });
  expect(of(part, [groupOf("__proto__", 1), groupOf("constructor", 0)])).toEqual([0.5, -0.5]);
  expect(part.state!()).toEqual({ tasks: {}, kls: [] });
  part.observe!(facts([groupOf("constructor", 1)]));
  expect(of(part, [groupOf("constructor", 0)])[0]).toBeCloseTo(-(4 * 0.96 + 1) / (8 * 0.96 + 1), 9);
});

test("the same of all, one alone, none: nothing to learn", () => {
  const part = trackedBaseline();
  for (const groups of [[groupOf("t", 1), groupOf("u", 1)], [groupOf("t", 1)], [groupOf("t")], []]) {
    expect(part.advantages(judged(groups)).some(({ hasSignal }) => hasSignal)).toBe(false);
  }
});

test("a whitened step has mean 0 and deviation 1, in any order", () => {
  fc.assert(
    fc.property(fc.array(between(0, 1), { minLength: 2, maxLength: 8 }), (rewards) => {
      fc.pre(new Set(rewards).size > 1);
      const part = remembering();
      const groups = rewards.map((reward, i) => groupOf(i % 3 === 0 ? "hard" : `t${i}`, reward));
      const found = of(part, groups);
      expect(found.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 8);
      expect(of(part, groups.toReversed()).toReversed()).toEqual(near(found));
    }),
  );
});

test("shaping raises every advantage, turns no sign, and leaves 0 alone", () => {
  const call = { episode: "e", agent: "a", occurrence: 0, scope: "", order: 0, length: 1, credit: 0 };
  fc.assert(
    fc.property(between(-2, 2), between(0, 5), between(1.001, 4), (advantage, entropy, kappa) => {
      const part = entropyShaping({ kappa });
      const batch = [{ ...call, entropies: Float32Array.of(entropy) }];
      const value = part.apply([Float32Array.of(advantage)], batch)[0]![0]!;
      expect(value).toBeGreaterThanOrEqual(Math.fround(advantage));
      expect(Math.sign(value)).toBe(Math.sign(advantage));
    }),
  );
  expect(() => entropyShaping().apply([Float32Array.of(1)], [call])).toThrow(/1 tokens and no entropies/);
});

test("a method of one episode a task, that asks for entropies before the update and survives a checkpoint", () => {
  const method = mssr();
  expect(method).toMatchObject({ groupSize: 1, needs: { entropyInEstimate: true, entropy: false } });
  method.observe!(facts([groupOf("t", 1)], 0.01));
  const other = mssr();
  other.restore!(JSON.parse(JSON.stringify(method.state!())));
  expect(other.state!()).toEqual(method.state!());
  for (const wrong of [null, { tasks: {} }, { tasks: { t: { a: 1 } }, kls: [] }, { tasks: {}, kls: ["x"] }])
    expect(() => trackedBaseline().restore!(wrong)).toThrow(/memory of tasks/);
});

test("settings are checked, and the cards say the defaults", () => {
  expect(() => trackedBaseline({ leastKept: 1 })).toThrow(/leastKept 1/);
  expect(() => trackedBaseline({ mostKept: 0.5 })).toThrow(/mostKept 0.5/);
  expect(() => trackedBaseline({ right: 0 })).toThrow(/right 0; it must be a finite number above 0/);
  expect(() => entropyShaping({ kappa: 1 })).toThrow(/kappa 1; it must be a finite number above 1/);
  for (const [card, settings] of [
    [trackedBaselineCard, trackedBaseline().settings],
    [entropyShapingCard, entropyShaping().settings],
  ] as const)
    expect(settings).toEqual(
      Object.fromEntries(Object.entries(card.defaults).map(([name, { value }]) => [name, value])),
    );
  const all = { groupSize: 1, ...Object.assign({}, ...Object.values(mssr().settings)) };
  for (const [name, { value }] of Object.entries(mssrCard.defaults)) expect(all[name], name).toBe(value);
});
