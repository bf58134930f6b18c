/** Replay of what a group lacks, the advantage over mixed groups, and what R³ reflects on. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { mixedGroupAdvantage, mixedGroupAdvantageCard } from "../../../src/methods/advantage/mixed-group.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { RewardedEpisode } from "../../../src/methods/method.ts";
import { r3, r3Card } from "../../../src/methods/r3.ts";
import { toReflectOn } from "../../../src/methods/reflection.ts";
import { replay, replayCard } from "../../../src/methods/sampler/replay.ts";
import { stream } from "../../../src/random/stream.ts";
import { between } from "../numbers.ts";
import { simulateStep } from "./simulated-step.ts";

const episode = (reward: number, recalled = false): RewardedEpisode => ({
  reward,
  calls: [{ agent: "a", reward }],
  ...(recalled ? { recalled } : {}),
});
const mixed = (rewards: readonly number[], settings = {}) => {
  const group = { task: "t", dataset: "", episodes: rewards.map((reward) => episode(reward)) };
  const [credit] = mixedGroupAdvantage(settings).advantages([{ group, ...broadcast().assign(group) }]);
  return { ...credit!, values: credit!.advantages.map(([value]) => value!) };
};
const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 6));
const old = [0, 1, 1, 0.5].map((reward, i) => ({ id: `old ${i}`, step: 1, reward }));

describe("replay", () => {
  test("all wrong recalls right ones, all right recalls wrong ones, a mixed group none", () => {
    const { groups, asked } = simulateStep(replay({ groupSize: 2, count: 2 }), {
      tasks: 3,
      reward: (group, sample) => (group === 2 ? sample : group),
      remembered: () => old,
    });
    expect(asked).toHaveLength(1);
    const recalled = groups.map(({ episodes }) =>
      episodes.flatMap(({ id, recalled }) => (recalled === true ? [id!] : [])).toSorted(),
    );
    expect(recalled).toEqual([["old 1", "old 2"], ["old 0", "old 3"], []]);
  });

  test("as many as there are; none where nothing of the kind is remembered, or the group is empty", () => {
    const of = (count: number, remembered: typeof old) =>
      simulateStep(replay({ count }), { tasks: 1, reward: () => 0, remembered: () => remembered }).asked;
    expect(of(5, old)[0]).toHaveLength(2);
    expect(of(1, old)[0]).toHaveLength(1);
    expect(of(1, [old[0]!])).toEqual([]);
    expect(
      simulateStep(replay(), { tasks: 1, reward: () => undefined, remembered: () => old }).asked,
    ).toEqual([]);
  });

  test("nothing after the first wave, nor for a dropped group", () => {
    const view = { step: 1, tasksPerStep: 1, remembered: () => old, random: stream(1, "x") };
    const group = { task: "t", dataset: "", episodes: [episode(0), episode(0)] };
    const ask = (wave: number, dropped: boolean) =>
      replay().next({ ...view, wave, groups: [{ ...group, dropped }] });
    expect(ask(1, false)).toHaveLength(1);
    expect(ask(2, false)).toEqual([]);
    expect(ask(1, true)).toEqual([]);
  });

  test("which one is drawn from the step's stream", () => {
    const ids = new Set(
      Array.from({ length: 40 }, (_, step) => {
        const { asked } = simulateStep(replay(), { tasks: 1, reward: () => 0, remembered: () => old, step });
        return JSON.stringify(asked);
      }),
    );
    expect(ids.size).toBe(2);
  });

  describe("reflection", () => {
    const asks = (remembered: typeof old, settings = {}, reward = (group: number) => group) =>
      simulateStep(replay({ groupSize: 2, reflectBelow: 0.5, ...settings }), {
        tasks: 2,
        reward,
        remembered: (task) => (task === "task 1" ? remembered : []),
      }).asked.flat();
    const seldom = [0, 0, 1].map((reward, i) => ({ id: `seldom ${i}`, step: 1, reward }));

    test("of a task that is solved too seldom, one of its wrong episodes", () => {
      const reflected = asks(seldom).filter(({ kind }) => kind === "reflect");
      expect(reflected).toHaveLength(1);
      expect(reflected[0]).toMatchObject({ group: 1, episode: expect.stringMatching(/^seldom [01]$/) });
    });

    test("none at τ or above, none where nothing is remembered, none unless asked for", () => {
      const kinds = (...given: Parameters<typeof asks>) => new Set(asks(...given).map(({ kind }) => kind));
      expect(kinds(old)).toEqual(new Set(["recall"]));
      expect(kinds([])).toEqual(new Set());
      expect(kinds(seldom, { reflectBelow: false })).toEqual(new Set(["recall"]));
      expect(kinds(seldom, { reflectBelow: 1 / 3 })).toEqual(new Set(["recall"]));
      expect(replay().reflects).toBeUndefined();
      expect(replay({ reflectBelow: 0.5 }).reflects).toBe(true);
      expect(() => replay({ reflectBelow: Number.NaN })).toThrow(/reflectBelow/);
    });

    test("adds to recalling; one wave is enough, and no reflection is reflected on", () => {
      const { groups, asked } = simulateStep(replay({ groupSize: 2, reflectBelow: 0.5 }), {
        tasks: 1,
        reward: () => 1,
        remembered: () => seldom,
      });
      expect(asked).toHaveLength(1);
      expect(asked[0]!.map(({ kind }) => kind)).toEqual(["recall", "reflect"]);
      expect(groups.map(({ episodes }) => episodes.length)).toEqual([3, 2]);
    });

    test("the first episode of an all-wrong group is remembered, of a reflection none", () => {
      const group = { task: "t", dataset: "", episodes: [episode(0), episode(0), episode(0)] };
      const kept = replay({ reflectBelow: 0.5 }).memory!.keep;
      expect(kept(group)).toEqual([true, false, false]);
      expect(replay().memory!.keep(group)).toEqual([false, false, false]);
      expect(kept({ ...group, episodes: [episode(0), episode(1), episode(0)] })).toEqual([true, true, false]);
      expect(kept({ ...group, episodes: [episode(1), episode(1)] })).toEqual([false, false]);
      expect(kept({ ...group, reflection: true, episodes: [episode(0), episode(1)] })).toEqual([
        false,
        false,
      ]);
    });
  });

  test("as many right as wrong ones are remembered, of what was sampled now", () => {
    const keep = (...episodes: readonly RewardedEpisode[]) =>
      replay().memory!.keep({ task: "t", dataset: "", episodes });
    expect(keep(episode(1), episode(0), episode(1), episode(0), episode(0))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(keep(episode(1), episode(1))).toEqual([false, false]);
    expect(keep(episode(0), episode(0), episode(1, true))).toEqual([false, false, false]);
    expect(
      replay({ right: 0.5 }).memory!.keep({ task: "t", dataset: "", episodes: [episode(0.5), episode(0)] }),
    ).toEqual([true, true]);
  });
});

describe("mixed groups", () => {
  test("golden values", () => {
    expect(mixed([0, 0, 0, 0, 1], { lambda: 0 }).values).toEqual(near([-0.25, -0.25, -0.25, -0.25, 1]));
  });

  test("equal rewards, one episode, none: nothing to learn", () => {
    for (const rewards of [[1, 1], [1], []]) {
      const { hasSignal, values } = mixed(rewards);
      expect(hasSignal).toBe(false);
      expect(values).toEqual(rewards.map(() => 0));
    }
  });

  test("with α = 1 it is the group's advantage; a wider deviation only scales it", () => {
    fc.assert(
      fc.property(fc.array(between(0, 1), { maxLength: 6 }), between(0.1, 5), (rewards, alpha) => {
        const group = { task: "t", dataset: "", episodes: rewards.map((reward) => episode(reward)) };
        const [plain] = groupAdvantage().advantages([{ group, ...broadcast().assign(group) }]);
        const expected = plain!.advantages.map(([value]) => value!);
        expect(mixed(rewards, { alpha: 1 }).values).toEqual(near(expected));
        const wide = mixed(rewards, { alpha, lambda: 0 }).values;
        const scaled = mixed(rewards, { alpha: 1, lambda: 0 }).values;
        expect(wide).toEqual(near(scaled.map((value) => value / alpha)));
        expect(wide.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
      }),
    );
  });
});

test("what is reflected on", () => {
  const random = () => stream(1, "reflect");
  expect(toReflectOn(old, random(), { below: 0.5 })).toBeUndefined();
  expect(["old 0", "old 3"]).toContain(toReflectOn(old, random(), { below: 0.7 })!.id);
  expect(toReflectOn([], random())).toBeUndefined();
  expect(toReflectOn([old[1]!], random(), { below: 2 })).toBeUndefined();
});

test("R³ trains on what it recalls; settings are checked, and the cards say the defaults", () => {
  const episodes = [episode(0), episode(0), episode(1, true)];
  const { advantages, trained } = r3({ lambda: 0 }).credit(episodes);
  expect(trained).toBeUndefined();
  expect(advantages.map(([value]) => value)).toEqual(
    near([-Math.SQRT1_2 / 2, -Math.SQRT1_2 / 2, Math.SQRT1_2]),
  );
  expect(() => r3({ alpha: 0 })).toThrow(/alpha 0/);
  expect(() => replay({ remembered: 1 })).toThrow(/remembered 1/);
  for (const [card, settings] of [
    [replayCard, replay().settings],
    [mixedGroupAdvantageCard, mixedGroupAdvantage().settings],
  ] as const)
    expect(settings).toEqual(
      Object.fromEntries(Object.entries(card.defaults).map(([name, { value }]) => [name, value])),
    );
  const all = Object.assign({}, ...Object.values(r3().settings));
  for (const [name, { value }] of Object.entries(r3Card.defaults)) expect(all[name], name).toBe(value);
});
