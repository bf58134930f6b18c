/** Dynamic sampling. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { dynamicSampling, dynamicSamplingCard } from "../../../src/methods/sampler/dynamic.ts";
import { simulateStep } from "./simulated-step.ts";

test("groups without spread give way to other tasks, as many as are missing", () => {
  // The first and third task are all wrong and all right; so is the first that comes instead.
  const flat = new Map([
    [0, 0],
    [2, 1],
    [4, 0],
  ]);
  const { groups, asked, sampled } = simulateStep(dynamicSampling({ groupSize: 4 }), {
    tasks: 4,
    reward: (group, sample) => flat.get(group) ?? sample % 2,
  });
  expect(asked).toEqual([
    [{ kind: "drop", group: 0 }, { kind: "drop", group: 2 }, { kind: "task" }, { kind: "task" }],
    [{ kind: "drop", group: 4 }, { kind: "task" }],
  ]);
  expect(groups.map(({ dropped }) => dropped)).toEqual([true, false, true, false, true, false, false]);
  expect(sampled).toBe(28);
});

test("nothing more where all groups have spread", () => {
  expect(simulateStep(dynamicSampling(), { tasks: 3, reward: (_, sample) => sample }).asked).toEqual([]);
});

test("waves used up: what has no spread is dropped all the same, but not all that there is", () => {
  const some = simulateStep(dynamicSampling({ maxWaves: 2 }), {
    tasks: 2,
    reward: (group, sample) => (group === 0 ? sample % 2 : 0),
  });
  expect(some.groups.map(({ dropped }) => dropped)).toEqual([false, true, true]);
  const none = simulateStep(dynamicSampling({ maxWaves: 3 }), { tasks: 2, reward: () => 1 });
  expect(none.groups.map(({ dropped }) => dropped)).toEqual([true, true, true, true, false, false]);
  expect(simulateStep(dynamicSampling({ maxWaves: 1 }), { tasks: 2, reward: () => 1 }).asked).toEqual([]);
});

test("the most waves that are allowed come to an end", () => {
  const { asked } = simulateStep(dynamicSampling({ groupSize: 2, maxWaves: 99 }), {
    tasks: 2,
    reward: (group, sample) => (group === 0 ? sample : 0),
  });
  expect(asked).toHaveLength(99);
});

test("failed episodes do not count, and a group of failures has no spread", () => {
  const { asked } = simulateStep(dynamicSampling({ groupSize: 2 }), {
    tasks: 2,
    reward: (group, sample) => (group === 0 ? undefined : group === 1 && sample === 1 ? undefined : sample),
  });
  expect(asked[0]).toEqual([
    { kind: "drop", group: 0 },
    { kind: "drop", group: 1 },
    { kind: "task" },
    { kind: "task" },
  ]);
});

test("another value, and a spread that is asked for", () => {
  // Deviations 0.5 and 0.05.
  const reward = (group: number, sample: number) => (sample % 2) * (group === 1 ? 0.1 : 1);
  const asking = simulateStep(dynamicSampling({ groupSize: 2, leastSpread: 0.3 }), { tasks: 2, reward });
  expect(asking.asked[0]).toEqual([{ kind: "drop", group: 1 }, { kind: "task" }]);
  const other = dynamicSampling({ groupSize: 2, leastSpread: 0.3, value: (episode) => 10 * episode.reward });
  expect(simulateStep(other, { tasks: 2, reward }).asked).toEqual([]);
});

test("a step never has more groups than it is meant to, nor a kept one without spread beside one with", () => {
  const bits = fc.array(fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      bits,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      (drawn, tasks, maxWaves) => {
        const { groups } = simulateStep(dynamicSampling({ groupSize: 3, maxWaves }), {
          tasks,
          reward: (group, sample) => Number(drawn[group % drawn.length]![sample]),
        });
        const open = groups.filter(({ dropped }) => !dropped);
        expect(open.length).toBeGreaterThan(0);
        expect(open.length).toBeLessThanOrEqual(tasks);
        const spreads = open.map(({ episodes }) => new Set(episodes.map(({ reward }) => reward)).size > 1);
        expect(new Set(spreads).size).toBe(1);
      },
    ),
  );
});

test("settings are checked, and the card says the defaults", () => {
  expect(() => dynamicSampling({ groupSize: 1 })).toThrow(/groupSize 1; it must be an integer of at least 2/);
  expect(() => dynamicSampling({ maxWaves: 100 })).toThrow(/maxWaves 100; .* of at least 1 and at most 99/);
  expect(dynamicSampling().settings).toEqual(
    Object.fromEntries(
      Object.entries(dynamicSamplingCard.defaults).map(([name, { value }]) => [name, value]),
    ),
  );
});
