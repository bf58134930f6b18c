/** @file Orders of episodes by hand, the plan's bound at run time, what the predictor learns, and bad settings. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type InfiniteSamplingSettings,
  infiniteSampling,
  infiniteSamplingCard,
} from "../../../src/methods/schedule/infinite-sampling.ts";
import { type LengthPredictor, runningQuantile } from "../../../src/methods/schedule/length-predictor.ts";
import { planMakespan } from "../../../src/methods/schedule/makespan-plan.ts";
import { microGroups, simulateSlots } from "../../../src/methods/schedule/slot-schedule.ts";

/** Knows the lengths: the task is called by its length. */
const told: LengthPredictor = {
  settings: {},
  predict: ({ task, generated = 0 }) => Number(task.split(" ").at(-1)) + generated,
  observe: () => {},
  state: () => ({}),
  restore: () => {},
};

const lengths = [100, 20, 90, 20, 40, 30];
const asGroup = (given: readonly number[], group = 0) =>
  given.map((length) => ({ task: `${length}`, group }));

function planned(settings: InfiniteSamplingSettings, given: readonly number[] = lengths) {
  return infiniteSampling({ slots: 2, predictor: told, ...settings }).schedule(asGroup(given));
}

describe("infiniteSampling", () => {
  it("golden makespans of a group", () => {
    expect(planned({ mode: "waves", order: "arrival" }).makespan).toBe(230);
    expect(planned({ mode: "waves", order: "longest" }).makespan).toBe(160);
    expect(planned({ order: "arrival" }).makespan).toBe(150);
    expect(planned({ order: "shortest" }).makespan).toBe(160);
    expect(planned({ order: "longest" }).makespan).toBe(150);
    expect(planned({}).makespan).toBe(150);
  });

  it("orders by hand", () => {
    expect(planned({ order: "shortest" }).order).toEqual([1, 3, 5, 4, 2, 0]);
    expect(planned({ order: "longest" }).order).toEqual([0, 2, 4, 5, 1, 3]);
    const waves = planned({ mode: "waves", order: "plan" });
    expect(waves.waves).toEqual([
      [0, 2],
      [4, 5],
      [1, 3],
    ]);
    expect(waves.order).toEqual([0, 2, 4, 5, 1, 3]);
    expect([...waves.predicted]).toEqual(lengths);
    // Both start at once: the shorter goes first.
    expect(planned({}).order.slice(0, 2)).toEqual([2, 0]);
  });

  it("starts every episode no later than planned, so that the plan's bound holds without slots", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 9 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(0.02, 0.2),
        (given, slots, epsilon) => {
          const { order, makespan } = planned({ slots, epsilon }, given);
          expect(order.toSorted((a, b) => a - b)).toEqual(given.map((_, i) => i));
          expect(makespan).toBe(simulateSlots(given, { slots, order }).makespan);
          expect(makespan).toBeLessThanOrEqual(planMakespan(given, { slots, epsilon }).makespan + 1e-9);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("takes groups one after another, or a step as a whole", () => {
    const requests = [...asGroup([1, 9, 2], 0), ...asGroup([5, 3, 8], 1)];
    const by = (settings: InfiniteSamplingSettings) =>
      infiniteSampling({ slots: 2, order: "longest", predictor: told, ...settings }).schedule(requests);
    expect(by({}).order).toEqual([1, 2, 0, 5, 3, 4]);
    expect(by({ scope: "step" }).order).toEqual([1, 5, 3, 4, 2, 0]);
    // A wave shares one prompt, so it has episodes of one group only.
    expect(by({ mode: "waves" }).waves).toEqual([[1, 2], [0], [5, 3], [4]]);
    expect(by({ mode: "waves" }).makespan).toBe(9 + 1 + 8 + 3);
    // Without a group, the task is one.
    const same = infiniteSampling({ slots: 2, order: "arrival" });
    expect(same.schedule([{ task: "a" }, { task: "b" }, { task: "a" }]).order).toEqual([0, 2, 1]);
  });

  it("an empty step, a group of one, more slots than episodes", () => {
    expect(planned({}, [])).toMatchObject({ order: [], makespan: 0 });
    expect(planned({ mode: "waves" }, [])).toMatchObject({ order: [], waves: [], makespan: 0 });
    expect(planned({}, [7])).toMatchObject({ order: [0], makespan: 7 });
    expect(planned({ slots: 16, mode: "waves" }).waves).toHaveLength(1);
  });

  it("learns lengths, and keeps them through a checkpoint", () => {
    const sampling = infiniteSampling({ slots: 1, scope: "step", order: "longest" });
    const requests = [{ task: "short" }, { task: "long" }];
    expect(sampling.schedule(requests).order).toEqual([0, 1]);
    sampling.observe([
      { task: "short", length: 5 },
      { task: "long", length: 50 },
    ]);
    expect(sampling.schedule(requests).order).toEqual([1, 0]);
    const again = infiniteSampling({ slots: 1, scope: "step", order: "longest" });
    again.restore(JSON.parse(JSON.stringify(sampling.state())));
    expect(again.schedule(requests)).toEqual(sampling.schedule(requests));
  });

  it("counts only what is still to come of an episode that goes on", () => {
    const { predicted } = infiniteSampling({ predictor: told }).schedule([{ task: "30", generated: 12 }]);
    expect([...predicted]).toEqual([30]);
  });

  it("its card says its defaults", () => {
    const { settings } = infiniteSampling();
    for (const [name, { value }] of Object.entries(infiniteSamplingCard.defaults))
      expect(settings[name]).toEqual(value);
  });

  it("refuses settings that make no sense", () => {
    expect(() => infiniteSampling({ slots: 0 })).toThrow(/slots 0/);
    expect(() => infiniteSampling({ epsilon: 0 })).toThrow(/epsilon 0/);
    expect(() => infiniteSampling({ mode: "other" as "waves" })).toThrow(/mode "other"/);
    expect(() => infiniteSampling({ order: "other" as "plan" })).toThrow(/order "other"/);
    expect(() => infiniteSampling({ scope: "other" as "step" })).toThrow(/scope "other"/);
    const nothing = { ...told, predict: () => Number.NaN };
    expect(() => infiniteSampling({ predictor: nothing, mode: "waves" }).schedule([{ task: "a" }])).toThrow(
      /lengths\[0\] NaN/,
    );
    expect(() => microGroups([0], 0)).toThrow(/size 0/);
  });
});

describe("runningQuantile", () => {
  const seen = (task: string, ...given: readonly number[]) => given.map((length) => ({ task, length }));

  it("is the quantile of the last lengths", () => {
    const predictor = runningQuantile({ window: 3 });
    predictor.observe(seen("a", 1000, 10, 30, 20));
    expect(predictor.predict({ task: "a" })).toBe(20);
    const upper = runningQuantile({ quantile: 0.75 });
    upper.observe(seen("a", 10, 20, 30));
    expect(upper.predict({ task: "a" })).toBe(25);
  });

  it("is conditional on what was sampled already", () => {
    const predictor = runningQuantile();
    predictor.observe(seen("a", 10, 20, 30, 80));
    expect(predictor.predict({ task: "a", generated: 20 })).toBe(55);
    // Longer than all that was seen of the task: other tasks say more.
    predictor.observe(seen("b", 300));
    expect(predictor.predict({ task: "a", generated: 80 })).toBe(300);
    expect(predictor.predict({ task: "a", generated: 500 })).toBe(501);
  });

  it("asks all tasks about a new one, and the prior before anything was seen", () => {
    const predictor = runningQuantile({ prior: 64 });
    expect(predictor.predict({ task: "a" })).toBe(64);
    predictor.observe(seen("b", 12));
    expect(predictor.predict({ task: "a" })).toBe(12);
    expect(predictor.predict({ task: "" })).toBe(12);
  });

  it("refuses what it cannot learn or restore, and learns nothing of it", () => {
    const predictor = runningQuantile();
    expect(() => predictor.observe(seen("a", 5, Number.NaN))).toThrow(/length NaN/);
    expect(predictor.predict({ task: "a" })).toBe(256);
    for (const state of [null, {}, { seen: [["a", ["5"]]] }])
      expect(() => predictor.restore(state)).toThrow(/a state that it did not write/);
    expect(() => runningQuantile({ quantile: 2 })).toThrow(/quantile 2/);
    expect(() => runningQuantile({ window: 0 })).toThrow(/window 0/);
    expect(() => runningQuantile({ prior: 0 })).toThrow(/prior 0/);
  });
});
