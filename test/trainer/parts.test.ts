import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { key, stream } from "../../src/random/stream.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { microbatches } from "../../src/trainer/batch-rows.ts";
import { bootstrapIntervals } from "../../src/trainer/bootstrap.ts";
import { checkConfig, isTrainConfig, trainConfig } from "../../src/trainer/config.ts";
import { FailureWatch } from "../../src/trainer/failure-watch.ts";
import { learningRateAt } from "../../src/trainer/learning-rate.ts";
import { consoleReporter, formatSeconds } from "../../src/trainer/reporter.ts";
import { tasksOfStep } from "../../src/trainer/step-tasks.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { toyTasks, toyTeam, words } from "./toy-team.ts";

const valid = {
  workflow: toyTeam,
  tasks: toyTasks,
  policies: { small: tabularPolicy({ words }) },
  method: grpo(),
  steps: 1,
};

describe("the configuration is checked as a whole", () => {
  const faults = (options: object): string => {
    try {
      checkConfig({ ...valid, ...options });
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  test("a valid one gets its defaults", () => {
    const settings = checkConfig(valid);
    expect(settings).toMatchObject({ seed: 0, tasksPerStep: 8, run: "toy", deadlines: { call: 300 } });
    expect([...settings.assignment]).toEqual([
      ["planner", "small"],
      ["answerer", "small"],
    ]);
  });

  test("all faults are told at once, by name", () => {
    const message = faults({ steps: -1, tasksPerStep: 0, learningRate: Number.NaN, stepz: 3 });
    for (const name of ["steps", "tasksPerStep", "learningRate", "stepz"]) expect(message).toContain(name);
  });

  test("names that do not exist", () => {
    expect(faults({ assign: { planer: "small" } })).toContain('no agent "planer"; it has planner, answerer');
    expect(faults({ assign: { planner: "large" } })).toContain('no policy "large"; there are small');
    expect(faults({ policies: {} })).toContain("policies: there is none");
    const two = { a: tabularPolicy({ words }), b: tabularPolicy({ words }) };
    expect(faults({ policies: two, assign: { planner: "a" } })).toContain("assign.answerer: missing");
  });

  test("things of the wrong kind", () => {
    expect(faults({ method: "grpo" })).toContain("expected a method such as grpo(…)");
    expect(faults({ workflow: {} })).toContain("workflow(…)");
    expect(faults({ policies: { small: "folder" } })).toContain('local("…")');
    expect(faults({ run: "../x" })).toContain("run");
    expect(faults({ tasks: "train.jsonl" })).toContain("jsonl(…)");
  });

  test("trainConfig marks what the command line may run", () => {
    expect(isTrainConfig(trainConfig(valid))).toBe(true);
    expect(isTrainConfig({ ...trainConfig(valid), steps: 2 })).toBe(true);
    expect(isTrainConfig(valid)).toBe(false);
  });
});

test("every epoch visits each task once, in an order of its own that the seed decides", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer(),
      (tasks, perStep, seed) => {
        const all = Array.from({ length: tasks }, (_, step) =>
          tasksOfStep(tasks, perStep, step + 1, seed),
        ).flat();
        expect(all).toHaveLength(tasks * perStep);
        for (let epoch = 0; epoch < perStep; epoch++) {
          expect(all.slice(epoch * tasks, (epoch + 1) * tasks).sort((a, b) => a - b)).toEqual(
            Array.from({ length: tasks }, (_, i) => i),
          );
        }
      },
    ),
  );
  expect(tasksOfStep(50, 50, 1, 0)).not.toEqual(tasksOfStep(50, 50, 2, 0));
  expect(tasksOfStep(50, 50, 1, 0)).not.toEqual(tasksOfStep(50, 50, 1, 1));
});

describe("bootstrap", () => {
  test("of equal values is a point", () => {
    expect(bootstrapIntervals([[0.5, 0.5, 0.5]], key(1))).toEqual([[0.5, 0.5]]);
  });

  test("agrees with the normal interval of a mean, and covers it about as often as it says", () => {
    const n = 400;
    let covered = 0;
    const runs = 60;
    for (let run = 0; run < runs; run++) {
      const draws = stream(7, run);
      const values = Array.from({ length: n }, () => (draws.uniform() < 0.3 ? 1 : 0));
      const [[low, high]] = bootstrapIntervals([values], key(7, run), { resamples: 1000 }) as [
        [number, number],
      ];
      if (run === 0) expect((high - low) / 2).toBeCloseTo(1.96 * Math.sqrt((0.3 * 0.7) / n), 2);
      if (low <= 0.3 && 0.3 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(runs * 0.85);
  });

  test("depends on the key alone", () => {
    const values = [0, 1, 1, 0, 1, 0, 0.5];
    expect(bootstrapIntervals([values], key(3))).toEqual(bootstrapIntervals([values], key(3)));
  });
});

test("learning rates", () => {
  const rates = (schedule: Parameters<typeof learningRateAt>[0]) =>
    [1, 2, 3, 4, 5].map((step) => Number(learningRateAt(schedule, step, 5).toFixed(4)));
  expect(rates(0.1)).toEqual([0.1, 0.1, 0.1, 0.1, 0.1]);
  expect(rates({ peak: 1, warmupSteps: 1 })).toEqual([0.5, 1, 1, 1, 1]);
  expect(rates({ peak: 1, decay: "linear" })).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(rates({ peak: 1, decay: "cosine", final: 0.2 })).toEqual([1, 0.8828, 0.6, 0.3172, 0.2]);
});

test("microbatches keep order and size; a sequence that is too long comes alone", () => {
  const rows = [3, 4, 9, 1, 2].map((length) => ({
    sequence: { tokens: new Int32Array(length), mask: new Uint8Array(length) },
  }));
  const sizes = [...microbatches(rows, 7)].map((batch) =>
    batch.map(({ sequence }) => sequence.tokens.length),
  );
  expect(sizes).toEqual([[3, 4], [9], [1, 2]]);
});

describe("failure watch", () => {
  const episodes = (good: number, bad: number): Trajectory[] =>
    Array.from({ length: good + bad }, (_, i) => ({
      ...({} as Trajectory),
      status: i < good ? "complete" : "failed",
      ...(i < good ? {} : { failure: { boundary: "tool", code: "E_TOOL", message: "404" } }),
    }));

  test("counts, and waits for enough episodes before it judges", () => {
    const watch = new FailureWatch(0.2);
    expect(watch.check(episodes(3, 1), "step 1")).toEqual({ "tool/E_TOOL": 1 });
    expect(() => watch.check(episodes(20, 20), "step 2")).toThrow(
      /50 %, limit 20 %.*in step 2.*tool\/E_TOOL, 20 times.*404/s,
    );
  });

  test("stops at once when everything fails", () => {
    expect(() => new FailureWatch(0.2).check(episodes(0, 2), "the first group")).toThrow(/100 %/);
  });
});

test("progress is a live line on a terminal and plain lines elsewhere", () => {
  const view = {
    step: 3,
    steps: 60,
    reward: 0.25,
    groups: 8,
    groupsWithoutSignal: 2,
    failed: 1,
    tokensPerSecond: 12345.6,
    secondsLeft: 75,
    heldOut: { name: "f1", value: 0.5, step: 0 },
  };
  const written: string[] = [];
  const output = { write: (text: string) => written.push(text) };
  consoleReporter(output).step(view);
  expect(written).toEqual([
    "step 3/60 · reward 0.250 · held-out f1 0.500 · 12.3k tokens/s · 1 min 15 s left · 2/8 groups without signal · 1 failed\n",
  ]);
  written.length = 0;
  const before = process.env.CI;
  delete process.env.CI;
  const live = consoleReporter({ ...output, isTTY: true, columns: 40 });
  live.step(view);
  live.info("a note");
  live.close();
  if (before !== undefined) process.env.CI = before;
  expect(written[0]).toHaveLength(39);
  expect(written.slice(1)).toEqual(["\r\u001b[K", "a note\n"]);
  expect(formatSeconds(4000)).toBe("1 h 6 min");
});
