/** @file Slots and waves by hand, the rules against each other, and the plan's bound against all assignments. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planMakespan } from "../../../src/methods/schedule/makespan-plan.ts";
import { type OrderRule, orderByLength, simulateSlots } from "../../../src/methods/schedule/slot-schedule.ts";

const lengths = [100, 20, 90, 20, 40, 30];

const makespan = (rule: OrderRule, mode: "waves" | "continuous") =>
  simulateSlots(lengths, { slots: 2, mode, order: orderByLength(lengths, rule) }).makespan;

/** Smallest largest load over all slots^n assignments. */
function optimum(jobs: readonly number[], slots: number): number {
  const loads = new Array<number>(slots).fill(0);
  const put = (i: number): number => {
    if (i === jobs.length) return Math.max(...loads);
    let best = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < slots; slot++) {
      loads[slot]! += jobs[i]!;
      best = Math.min(best, put(i + 1));
      loads[slot]! -= jobs[i]!;
    }
    return best;
  };
  return put(0);
}

const jobs = fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 8 });

describe("slots", () => {
  it("golden makespans", () => {
    expect(makespan("arrival", "waves")).toBe(230);
    expect(makespan("longest", "waves")).toBe(160);
    expect(makespan("arrival", "continuous")).toBe(150);
    expect(makespan("shortest", "continuous")).toBe(160);
    expect(makespan("longest", "continuous")).toBe(150);
  });

  it("starts, ends, slots and peaks by hand", () => {
    const times = simulateSlots(lengths, { slots: 2 });
    expect([...times.starts]).toEqual([0, 0, 20, 100, 110, 120]);
    expect([...times.ends]).toEqual([100, 20, 110, 120, 150, 150]);
    expect([...times.slotOf]).toEqual([0, 1, 1, 0, 1, 0]);
    expect(times.utilisation).toBe(1);
    expect(times.peakJobs).toBe(2);
    // Just before 100 ends: 100 of it and 80 of the third.
    expect(times.peakTokens).toBe(180);
    expect(simulateSlots(lengths, { slots: 6 })).toMatchObject({ makespan: 100, peakJobs: 6 });
    expect(simulateSlots(lengths, { slots: 2, mode: "waves" }).utilisation).toBeCloseTo(300 / 460, 12);
  });

  it("nothing to do, one job, one slot", () => {
    expect(simulateSlots([], { slots: 3 })).toMatchObject({ makespan: 0, utilisation: 1, peakJobs: 0 });
    expect(simulateSlots([7], { slots: 3 })).toMatchObject({ makespan: 7, peakTokens: 7 });
    expect(simulateSlots(lengths, { slots: 1 }).makespan).toBe(300);
  });

  it("no rule is below the optimum, nor idle while a job waits", () => {
    fc.assert(
      fc.property(jobs, fc.integer({ min: 1, max: 3 }), (given, slots) => {
        const best = optimum(given, slots);
        for (const rule of ["arrival", "shortest", "longest"] as const) {
          const order = orderByLength(given, rule);
          const free = simulateSlots(given, { slots, order });
          const waves = simulateSlots(given, { slots, order, mode: "waves" });
          expect(free.makespan).toBeGreaterThanOrEqual(best);
          expect(waves.makespan).toBeGreaterThanOrEqual(free.makespan);
          expect(free.makespan).toBeLessThanOrEqual((2 - 1 / slots) * best + 1e-9);
          if (rule === "longest")
            expect(free.makespan).toBeLessThanOrEqual((4 / 3 - 1 / (3 * slots)) * best + 1e-9);
          expect(free.peakJobs).toBeLessThanOrEqual(slots);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("refuses what makes no sense", () => {
    expect(() => simulateSlots([1, -1], { slots: 1 })).toThrow(/lengths\[1\] -1/);
    expect(() => simulateSlots([1, Number.NaN], { slots: 1 })).toThrow(/lengths\[1\]/);
    expect(() => simulateSlots([1], { slots: 0 })).toThrow(/slots 0/);
    for (const order of [[0], [0, 0], [0, 2]])
      expect(() => simulateSlots([1, 1], { slots: 1, order })).toThrow(/each of the 2 places once/);
  });
});

describe("plan", () => {
  it("golden: the optimum at ε = 0.1", () => {
    const plan = planMakespan(lengths, { slots: 2, epsilon: 0.1 });
    expect(plan.makespan).toBe(150);
    expect(plan.guarantee).toBe(1);
  });

  it("finds what longest first misses", () => {
    // The case that Graham's bound is met by, 4/3 − 1/9 = 11/9: the optimum is 5+4, 5+4, 3+3+3.
    const hard = [5, 5, 4, 4, 3, 3, 3];
    expect(simulateSlots(hard, { slots: 3, order: orderByLength(hard, "longest") }).makespan).toBe(11);
    expect(optimum(hard, 3)).toBe(9);
    const plan = planMakespan(hard, { slots: 3, epsilon: 0.1 });
    expect(plan).toMatchObject({ makespan: 9, guarantee: 1, from: "dynamic programme" });
  });

  it("is within (1 + ε) of the optimum, and of its own guarantee", () => {
    let programmes = 0;
    fc.assert(
      fc.property(
        // Few and coarse lengths, so that longest first is often not enough.
        fc.array(fc.integer({ min: 2, max: 12 }), { minLength: 5, maxLength: 8 }),
        fc.integer({ min: 2, max: 3 }),
        fc.constantFrom(0.01, 0.05, 0.1, 0.15),
        (given, slots, epsilon) => {
          const plan = planMakespan(given, { slots, epsilon });
          const best = optimum(given, slots);
          const loads = new Float64Array(slots);
          for (const [i, slot] of plan.slotOf.entries()) loads[slot]! += given[i]!;
          expect(plan.makespan).toBeCloseTo(Math.max(...loads), 9);
          expect(plan.guarantee).toBeLessThanOrEqual(1 + epsilon);
          expect(plan.makespan).toBeLessThanOrEqual(plan.guarantee * best + 1e-9);
          const greedy = simulateSlots(given, { slots, order: orderByLength(given, "longest") }).makespan;
          expect(plan.makespan).toBeLessThanOrEqual(greedy);
          // Less than a token off, so not off at all.
          if (epsilon === 0.01) expect(plan.makespan).toBe(best);
          if (plan.from === "dynamic programme") programmes++;
        },
      ),
      { numRuns: 120, seed: 4 },
    );
    expect(programmes).toBeGreaterThan(5);
  });

  it("keeps its word where longest first is at its worst", () => {
    for (const [slots, hard, best] of [
      [2, [3, 3, 2, 2, 2], 6],
      [3, [5, 5, 4, 4, 3, 3, 3], 9],
      [4, [7, 7, 6, 6, 5, 5, 4, 4, 4], 12],
    ] as const) {
      for (let epsilon = 0.02; epsilon < 0.3; epsilon += 0.02) {
        const { makespan } = planMakespan(hard, { slots, epsilon });
        expect(makespan).toBeLessThanOrEqual((1 + epsilon) * best + 1e-9);
      }
    }
  });

  it("stays with longest first where the programme gains by rounding alone", () => {
    const plan = planMakespan([4, 4, 12, 8], { slots: 2, epsilon: 0.05 });
    expect(plan).toMatchObject({ makespan: 16, guarantee: 1.05, from: "longest first" });
  });

  it("says so where the programme would be too large", () => {
    const hard = [5, 5, 4, 4, 3, 3, 3];
    const plan = planMakespan(hard, { slots: 3, epsilon: 0.1, maxStates: 2 });
    expect(plan).toMatchObject({ makespan: 11, from: "longest first" });
    expect(plan.guarantee).toBeCloseTo(11 / 9, 12);
  });

  it("nothing, zeros, more slots than jobs", () => {
    expect(planMakespan([], { slots: 2 })).toMatchObject({ makespan: 0, guarantee: 1 });
    expect(planMakespan([0, 0], { slots: 1 })).toMatchObject({ makespan: 0, guarantee: 1 });
    expect(planMakespan([3, 9], { slots: 5 })).toMatchObject({ makespan: 9, guarantee: 1 });
  });

  it("refuses settings that make no sense", () => {
    expect(() => planMakespan([1], { slots: 1, epsilon: 0 })).toThrow(/epsilon 0/);
    expect(() => planMakespan([1], { slots: 1, maxStates: 0 })).toThrow(/maxStates 0/);
    expect(() => planMakespan([1], { slots: 1.5 })).toThrow(/slots 1.5/);
  });
});
