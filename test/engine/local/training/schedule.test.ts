/** @file Schedules at their borders and in between. */

import { describe, expect, it } from "vitest";
import { constant, cosine, linear, warmup } from "../../../../src/engine/local/training/schedule.ts";

const values = (schedule: (step: number) => number, steps: readonly number[]) =>
  steps.map((step) => Number(schedule(step).toFixed(6)));

describe("schedules", () => {
  it("are what their names say", () => {
    expect(values(constant(0.1), [0, 5, 1e6])).toEqual([0.1, 0.1, 0.1]);
    expect(values(linear({ peak: 1, steps: 4 }), [0, 1, 2, 4, 9])).toEqual([1, 0.75, 0.5, 0, 0]);
    expect(values(linear({ peak: 1, steps: 4, final: 0.2 }), [2, 4, 9])).toEqual([0.6, 0.2, 0.2]);
    expect(values(cosine({ peak: 1, steps: 6 }), [0, 2, 3, 6, 7])).toEqual([1, 0.75, 0.5, 0, 0]);
    expect(values(cosine({ peak: 1, steps: 6, final: 0.5 }), [3, 6])).toEqual([0.75, 0.5]);
  });

  it("warm up to the first rate and then follow the schedule from its start", () => {
    const schedule = warmup(4, linear({ peak: 1, steps: 4 }));
    expect(values(schedule, [0, 1, 3, 4, 5, 8])).toEqual([0.2, 0.4, 0.8, 1, 0.75, 0]);
    expect(warmup(0, constant(3))(0)).toBe(3);
  });

  it.each([
    () => constant(Number.NaN),
    () => constant(-1),
    () => linear({ peak: 1, steps: 0 }),
    () => cosine({ peak: Number.POSITIVE_INFINITY, steps: 3 }),
    () => warmup(1.5, constant(1)),
  ])("refuse nonsense (%#)", (make) => {
    expect(make).toThrow(expect.objectContaining({ code: "E_SCHEDULE" }));
  });
});
