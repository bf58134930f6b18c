import { expect, test } from "vitest";
import type { Evaluation } from "../../src/trainer/evaluate.ts";
import { RunProgress } from "../../src/trainer/progress.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";

const settings = { maxFailureRate: 0.2, steps: 20, evaluateEvery: 5, evaluateSample: 2, tokenBudget: 600 };

// Of a trajectory the watch looks at these two only.
const episode = (failed: boolean) =>
  ({
    status: failed ? "failed" : "complete",
    ...(failed ? { failure: { boundary: "tool", code: "E_TOOL", message: "no" } } : {}),
  }) as unknown as Trajectory;

const evaluation = (step: number): Evaluation => ({
  step,
  trajectories: [episode(false)],
  values: [{ f1: 0.1 + step }, undefined],
  n: 1,
  samples: 1,
  failed: 1,
  means: { f1: 0.1 + step },
  intervals: { f1: [0, 1 / 3] },
});

const lived = () => {
  const progress = new RunProgress(settings);
  progress.failures.check(
    Array.from({ length: 40 }, (_, i) => episode(i % 6 === 0)),
    "step 1",
  );
  progress.evaluated(evaluation(0), "before", 3);
  progress.evaluated(evaluation(5), "during", 1.5);
  progress.stepped(2, true, 300);
  progress.stepped(2, false, 200);
  return progress;
};
const again = (progress: RunProgress) =>
  new RunProgress(settings, JSON.parse(JSON.stringify(progress.state())));

test("everything comes back through JSON", () => {
  const progress = lived();
  const restored = again(progress);
  const { seconds: _, ...state } = progress.state();
  expect(restored.state()).toMatchObject(state);
  expect(restored.before).toEqual({ ...evaluation(0), trajectories: [] });
  expect(restored.newest).toEqual({ step: 5, means: { f1: 5.1 } });
  expect(restored.shown).toEqual({ name: "f1", value: 5.1, step: 5 });
  expect(restored.secondsLeft(2, 10)).toBe(progress.secondsLeft(2, 10));
  expect(restored.spent).toBe(false);
  expect(restored.stepped(1, false, 100)).toBe(2);
  expect(restored.spent).toBe(true);
});

test("failures before a kill count after it", () => {
  const few = Array.from({ length: 8 }, (_, i) => episode(i < 3));
  // The window is the last 32: 4 failures of the 24 before, and 3 of these 8. Of 8 alone nothing is said.
  expect(() => lived().failures.check(few, "step 2")).toThrow(/of the last/);
  expect(() => again(lived()).failures.check(few, "step 2")).toThrow(/of the last/);
  expect(() => new RunProgress(settings).failures.check(few, "step 2")).not.toThrow();
});

test("seconds of all attempts add up", () => {
  const state = { ...lived().state(), seconds: 100 };
  expect(new RunProgress(settings, state).seconds).toBeGreaterThan(100);
});
