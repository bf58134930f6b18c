/** Adaptive sampling and AR3PO. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { treeRpoAdvantage } from "../../../src/methods/advantage/tree-rpo.ts";
import { withoutRecalled } from "../../../src/methods/advantage/without-recalled.ts";
import { ar3po, ar3poCard } from "../../../src/methods/ar3po.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import { adaptive, adaptiveCard, expectedEpisodes } from "../../../src/methods/sampler/adaptive.ts";
import { stream } from "../../../src/random/stream.ts";
import { between } from "../numbers.ts";
import { simulateStep } from "./simulated-step.ts";

const once = { id: "old", step: 1, reward: 1 };

describe("golden values", () => {
  test("expected episodes, k = 4, S = 2", () => {
    expect([0, 0.1, 0.5, 0.9].map((solved) => expectedEpisodes(solved))).toEqual(
      [8, 6.6244, 4.25, 4.0004].map((value) => expect.closeTo(value, 6)),
    );
  });

  test("eight wrong, one replaced by a remembered right one", () => {
    const { groups, sampled } = simulateStep(adaptive(), {
      tasks: 1,
      reward: () => 0,
      remembered: () => [once],
    });
    expect(sampled).toBe(8);
    const { episodes } = groups[0]!;
    expect(episodes.map(({ reward }) => reward)).toEqual([0, 0, 0, 0, 0, 0, 0, 1]);
    for (const [ddof, right, wrong] of [
      [0, 2.645751, -0.377964],
      [1, 2.474874, -0.353553],
    ] as const) {
      const { advantages, trained } = ar3po({ epsilon: 0, ddof }).credit(episodes);
      expect(advantages[7]![0]).toBeCloseTo(right, 6);
      expect(advantages[0]![0]).toBeCloseTo(wrong, 6);
      // Option II: compared with, not trained on.
      expect(trained!.map(([one]) => one)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    }
    expect(ar3po({ recalled: "train" }).credit(episodes).trained).toBeUndefined();
  });
});

test("stages: only what is unsolved is sampled on, and nothing once all is solved", () => {
  const sampler = adaptive({ perStage: 2, stages: 3 });
  // Solved by the first, by the third, by none.
  const { groups, asked } = simulateStep(sampler, {
    tasks: 3,
    reward: (group, sample) => (group === 0 || (group === 1 && sample === 2) ? 1 : 0),
  });
  expect(asked).toEqual([
    [
      { kind: "episodes", group: 1, count: 2 },
      { kind: "episodes", group: 2, count: 2 },
    ],
    [{ kind: "episodes", group: 2, count: 2 }],
  ]);
  expect(groups.map(({ episodes }) => episodes.length)).toEqual([2, 4, 6]);
  expect(simulateStep(sampler, { tasks: 3, reward: () => 1 }).asked).toEqual([]);
});

test("a dropped group is left alone", () => {
  const view = { step: 1, wave: 1, tasksPerStep: 1, remembered: () => [once], random: stream(1, "x") };
  const group = { task: "t", dataset: "", dropped: true, episodes: [{ reward: 0, calls: [] }] };
  expect(adaptive().next({ ...view, groups: [group] })).toEqual([]);
});

test("nothing is recalled before the last stage, nor for a solved task, nor where nothing is remembered", () => {
  const remembered = () => [once];
  const solved = simulateStep(adaptive(), {
    tasks: 1,
    reward: (_, sample) => (sample === 5 ? 1 : 0),
    remembered,
  });
  expect(solved.asked).toEqual([[{ kind: "episodes", group: 0, count: 4 }]]);
  expect(simulateStep(adaptive(), { tasks: 1, reward: () => 0 }).asked).toHaveLength(1);
  expect(
    simulateStep(adaptive({ remembered: 0 }), { tasks: 1, reward: () => 0, remembered }).asked,
  ).toHaveLength(1);
});

test("a recalled episode that is no longer right, by rewards given anew, is the last all the same", () => {
  const remembered = () => [{ ...once, reward: 0.4 }];
  const { asked, groups } = simulateStep(adaptive(), { tasks: 1, reward: () => 0, remembered });
  expect(asked).toHaveLength(2);
  expect(groups[0]!.episodes).toHaveLength(8);
});

test("all episodes failed: it tries again, and recalls nothing into an empty group", () => {
  const { groups, sampled } = simulateStep(adaptive(), {
    tasks: 1,
    reward: () => undefined,
    remembered: () => [once],
  });
  expect(sampled).toBe(8);
  expect(groups[0]!.episodes).toEqual([]);
});

test("which wrong one gives way, and to which right one, is drawn evenly and the same way again", () => {
  const remembered = () => ["a", "b", "c"].map((id) => ({ ...once, id }));
  const counts = new Map<string, number>();
  const draw = (step: number) => {
    const { asked } = simulateStep(adaptive(), { tasks: 1, reward: () => 0, remembered, step });
    return asked[1]!;
  };
  for (let step = 0; step < 600; step++) {
    for (const request of draw(step)) {
      if (request.kind !== "omit" && request.kind !== "recall") throw new Error(request.kind);
      const name = `${request.kind} ${request.episode}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  for (const id of ["a", "b", "c"]) expect(counts.get(`recall ${id}`)).toBeGreaterThan(150);
  for (let i = 0; i < 8; i++) expect(counts.get(`omit ${i}`)).toBeGreaterThan(40);
  expect(draw(7)).toEqual(draw(7));
});

test("what it samples is what is expected", () => {
  const tasks = 4000;
  for (const [solved, options] of [
    [0.3, {}],
    [0.1, { perStage: 2, stages: 4 }],
  ] as const) {
    const { sampled } = simulateStep(adaptive(options), {
      tasks,
      reward: (group, sample) => (stream(3, group, sample).uniform() < solved ? 1 : 0),
    });
    expect(sampled / tasks).toBeCloseTo(expectedEpisodes(solved, options), 1);
  }
});

test("right episodes are remembered, by the caller's rule", () => {
  const group = {
    task: "t",
    dataset: "",
    episodes: [0.2, 0.6, 1].map((reward) => ({ reward, calls: [] })),
  };
  expect(adaptive().memory).toMatchObject({ capacity: 4 });
  expect(adaptive().memory!.keep(group)).toEqual([false, false, true]);
  expect(adaptive({ isCorrect: ({ reward }) => reward > 0.5 }).memory!.keep(group)).toEqual([
    false,
    true,
    true,
  ]);
  expect(adaptive({ remembered: 0 }).memory).toBeUndefined();
});

test("without recalled episodes: any advantage, its own mask and all else of it as before", () => {
  const rewards = fc.array(fc.tuple(between(0, 1), fc.boolean()), { maxLength: 6 });
  fc.assert(
    fc.property(rewards, (drawn) => {
      const episodes = drawn.map(([reward, recalled]) => ({
        reward,
        recalled,
        calls: [
          { agent: "a", reward },
          { agent: "b", reward },
        ],
      }));
      const group = { task: "t", dataset: "", episodes };
      const judged = [{ group, ...broadcast().assign(group) }];
      for (const part of [groupAdvantage(), treeRpoAdvantage()]) {
        const before = part.advantages(judged)[0]!;
        const after = withoutRecalled(part).advantages(judged)[0]!;
        expect(after).toMatchObject({ advantages: before.advantages, hasSignal: before.hasSignal });
        expect(after.trained!.map((row) => [...row])).toEqual(
          drawn.map(([, recalled], i) => [0, 1].map((j) => (recalled ? 0 : (before.trained?.[i]?.[j] ?? 1)))),
        );
      }
    }),
  );
  expect(withoutRecalled(groupAdvantage())).toMatchObject({ name: "group", compares: "episodes" });
});

test("settings are checked, and the cards say the defaults", () => {
  expect(() => adaptive({ perStage: 0 })).toThrow(/perStage 0; it must be an integer of at least 1/);
  expect(() => adaptive({ perStage: 1, stages: 1 })).toThrow(/perStage times stages 1/);
  expect(() => ar3po({ recalled: "mask" as "train" })).toThrow(/"compare" or "train"/);
  expect(adaptive().settings).toEqual(
    Object.fromEntries(Object.entries(adaptiveCard.defaults).map(([name, { value }]) => [name, value])),
  );
  const { settings } = ar3po();
  const all = { ...Object.assign({}, ...Object.values(settings)), recalled: "compare" };
  expect(settings["advantage/group"]).toMatchObject({ recalled: "compared with, not trained on" });
  for (const [name, { value }] of Object.entries(ar3poCard.defaults)) expect(all[name], name).toBe(value);
});
