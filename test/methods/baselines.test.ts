/** REINFORCE, RLOO, Dr. GRPO, GSPO and CISPO as whole methods. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { cispo } from "../../src/methods/cispo.ts";
import { compose } from "../../src/methods/compose.ts";
import { dapo } from "../../src/methods/dapo.ts";
import { drGrpo } from "../../src/methods/dr-grpo.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { gspo } from "../../src/methods/gspo.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import type { Method, RewardedEpisode } from "../../src/methods/method.ts";
import { reinforce } from "../../src/methods/reinforce.ts";
import { rloo } from "../../src/methods/rloo.ts";
import { lossInputs, specInput } from "./loss/kernel-checks.ts";
import { between } from "./numbers.ts";

const group = (...rewards: readonly number[]): readonly RewardedEpisode[] =>
  rewards.map((reward) => ({ reward, calls: [{ agent: "a", reward }] }));
const advantagesOf = (method: Method, ...rewards: readonly number[]) =>
  method.credit(group(...rewards)).advantages.map((row) => row[0]!);
const near = (expected: readonly number[]) => expected.map((value) => expect.closeTo(value, 5));

test("REINFORCE: rewards less the group's mean, or the rewards themselves", () => {
  expect(advantagesOf(reinforce(), 1, 0, 0, 0)).toEqual(near([0.75, -0.25, -0.25, -0.25]));
  expect(advantagesOf(reinforce({ baseline: "none" }), 1, 0, 2)).toEqual([1, 0, 2]);
  // One episode, no baseline: the algorithm as printed.
  expect(reinforce({ groupSize: 1, baseline: "none" }).credit(group(1))).toMatchObject({ hasSignal: true });
});

test("RLOO: rewards less the mean of the others, which is G/(G − 1) times the distance from the mean", () => {
  expect(advantagesOf(rloo(), 1, 0, 0, 0)).toEqual(near([1, -1 / 3, -1 / 3, -1 / 3]));
  fc.assert(
    fc.property(fc.array(between(-2, 2), { minLength: 2, maxLength: 8 }), (rewards) => {
      const found = advantagesOf(rloo(), ...rewards);
      const centred = advantagesOf(reinforce(), ...rewards);
      const factor = rewards.length / (rewards.length - 1);
      expect(found).toEqual(near(centred.map((value) => value * factor)));
      expect(found.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 9);
    }),
  );
});

test("an episode with several calls has one voice in the others' baseline", () => {
  const { advantages } = rloo().credit([
    { reward: 1, calls: [1, 1, 1].map((reward) => ({ agent: "a", reward })) },
    { reward: 0, calls: [{ agent: "a", reward: 0 }] },
    { reward: 0, calls: [] },
  ]);
  expect(advantages.map((row) => [...row])).toEqual([near([1, 1, 1]), near([-0.5]), []]);
});

test("Dr. GRPO: no std, and a constant instead of lengths", () => {
  expect(advantagesOf(drGrpo(), 1, 0, 0, 0)).toEqual(near([0.75, -0.25, -0.25, -0.25]));
  const { loss } = drGrpo({ longest: 10 }).loss({ ...specInput, oldLogprobs: specInput.logprobs });
  // Two tokens of A = 1, two of −1, ρ = 1, N c = 20.
  expect(loss).toBeCloseTo((-1 - 1 + 1 + 1) / 20, 6);
  const longer = drGrpo({ longest: 20 }).loss(specInput);
  expect(drGrpo({ longest: 10 }).loss(specInput).loss).toBeCloseTo(2 * longer.loss, 6);
});

test("GSPO and CISPO: GRPO's advantages; on one update a batch GSPO is GRPO over sequence means", () => {
  const wanted = advantagesOf(grpo(), 1, 0, 0, 0);
  expect(advantagesOf(gspo(), 1, 0, 0, 0)).toEqual(wanted);
  expect(advantagesOf(cispo(), 1, 0, 0, 0)).toEqual(wanted);
  fc.assert(
    fc.property(lossInputs({ equalInSequence: true }), (input) => {
      const onPolicy = { ...input, oldLogprobs: input.logprobs, importance: input.advantages.map(() => 1) };
      const theirs = grpo({ aggregation: "sequence-mean" }).loss(onPolicy);
      const ours = gspo().loss(onPolicy);
      expect(ours.loss).toBeCloseTo(theirs.loss, 5);
      expect([...ours.gradients.logprobs]).toEqual(near([...theirs.gradients.logprobs]));
    }),
  );
});

test("GSPO over trajectories links the calls of an episode", () => {
  const episodes = group(1, 0).map((episode, i) => ({ ...episode, id: `e${i}` }));
  expect(gspo({ over: "trajectory" }).credit(episodes).links).toEqual([["e0"], ["e1"]]);
  expect(gspo().credit(episodes).links).toBeUndefined();
});

test("DAPO: the higher clip, and groups without spread make room for other tasks", () => {
  const method = dapo();
  const { loss, gradients } = method.loss(specInput);
  expect(loss).toBeCloseTo(-0.069917, 5);
  expect([...gradients.logprobs]).toEqual(near([0, -0.226209, 0, 0.276293]));
  const groups = [group(1, 1), group(1, 0)].map((episodes) => ({
    task: "t",
    dataset: "",
    episodes,
    dropped: false,
  }));
  const view = {
    step: 1,
    wave: 1,
    tasksPerStep: 2,
    groups,
    remembered: () => [],
    random: { integer: () => 0 },
  };
  expect(method.sampler!.next(view)).toEqual([{ kind: "drop", group: 0 }, { kind: "task" }]);
  expect(advantagesOf(method, 1, 0, 0, 0)).toEqual(advantagesOf(grpo(), 1, 0, 0, 0));
});

describe("GRPO is a composition", () => {
  test("of group advantages and the clipped surrogate", () => {
    const composed = compose({ advantage: groupAdvantage(), loss: clipped() });
    const calls = fc.array(between(-1, 1), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(calls, { minLength: 1, maxLength: 6 }), lossInputs(), (rewards, input) => {
        const episodes = rewards.map((row) => ({
          reward: row[0] ?? 0,
          calls: row.map((reward) => ({ agent: "a", reward })),
        }));
        expect(composed.credit(episodes)).toEqual(grpo().credit(episodes));
        expect(composed.loss(input)).toEqual(grpo().loss(input));
      }),
    );
  });
});

test.each([reinforce(), rloo(), drGrpo(), dapo(), gspo(), cispo()])(
  "$name: nothing to learn from equal rewards or one episode; the order of episodes does not matter",
  (method) => {
    expect(method.credit(group(1, 1, 1)).hasSignal).toBe(false);
    expect(advantagesOf(method, 1, 1)).toEqual([0, 0]);
    expect(advantagesOf(method, 1)).toEqual([0]);
    expect(method.credit([]).advantages).toEqual([]);
    const forwards = advantagesOf(method, 1, 0.2, 0.5);
    expect(advantagesOf(method, 0.5, 0.2, 1)).toEqual(near([...forwards].reverse()));
  },
);

test("settings are checked", () => {
  expect(() => reinforce({ groupSize: 0 })).toThrow(/groupSize 0/);
  expect(() => drGrpo({ longest: 0 })).toThrow(/longest 0/);
  expect(() => gspo({ minibatches: 0 })).toThrow(/minibatches 0/);
  expect(() => cispo({ clipHigh: -1 })).toThrow(/clipHigh -1/);
});
