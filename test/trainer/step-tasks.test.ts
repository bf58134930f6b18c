/** Which tasks a step takes when the method weighs them. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import type { Method } from "../../src/methods/method.ts";
import { mssr } from "../../src/methods/mssr.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { chosenTasks, tasksOfStep, weightedTasks } from "../../src/trainer/step-tasks.ts";
import { train } from "../../src/trainer/train.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-step-tasks-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

describe("weighted draws", () => {
  const weights = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 9, noNaN: true })), {
    minLength: 1,
    maxLength: 12,
  });

  test("are different tasks, those of weight 0 last, and all before any comes again", () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 30 }), fc.integer(), (given, count, seed) => {
        const drawn = weightedTasks(given, count, 1, seed);
        expect(drawn).toHaveLength(count);
        const round = drawn.slice(0, given.length);
        expect(new Set(round).size).toBe(Math.min(count, given.length));
        const zeros = round.map((task) => Number(given[task] === 0));
        expect(zeros).toEqual([...zeros].sort());
        expect(drawn).toEqual(drawn.map((_, place) => drawn[place % given.length]));
      }),
    );
  });

  test("are in proportion, and depend on seed and step alone", () => {
    const given = [1, 2, 5, 0];
    const counts = [0, 0, 0, 0];
    for (let step = 0; step < 4000; step++) counts[weightedTasks(given, 1, step, 7)[0]!]!++;
    // Four standard deviations of the largest share's count are 122.
    for (const [task, weight] of given.entries())
      expect(Math.abs(counts[task]! - (4000 * weight) / 8)).toBeLessThan(122);
    expect(counts[3]).toBe(0);
    const order = (step: number, seed: number) => weightedTasks(Array(40).fill(1), 40, step, seed).join();
    expect(order(1, 1)).toBe(order(1, 1));
    expect(new Set([order(1, 1), order(2, 1), order(1, 2)]).size).toBe(3);
  });

  test("of two at once follow the weights of those that are left", () => {
    // P(2 first, then 0) = 5/8 · 1/3; without replacement.
    let hits = 0;
    for (let step = 0; step < 6000; step++) if (weightedTasks([1, 2, 5], 2, step, 3).join() === "2,0") hits++;
    expect(hits / 6000).toBeCloseTo(5 / 24, 1);
    expect(Math.abs(hits - 1250)).toBeLessThan(4 * Math.sqrt(6000 * (5 / 24) * (19 / 24)));
  });

  test("without weights every task comes once an epoch", () => {
    const about = { tasksPerStep: 2, seed: 3, step: 2 };
    expect(chosenTasks(grpo(), toyTasks, about)).toEqual(tasksOfStep(3, 2, 2, 3));
  });

  test.each([
    [[1, 2], /gives 2 weights for 3 tasks in step 5/],
    [[1, Number.NaN, 1], /weighs task 1 with NaN/],
    [[1, 1, -1], /weighs task 2 with -1/],
    [[Number.POSITIVE_INFINITY, 1, 1], /weighs task 0 with Infinity/],
  ])("%j is refused", (given, says) => {
    const method = { name: "m", taskWeights: () => given };
    const about = { tasksPerStep: 1, seed: 0, step: 5 };
    expect(() => chosenTasks(method, toyTasks, about)).toThrow(says);
    expect(() => chosenTasks(method, toyTasks, about)).toThrow(
      expect.objectContaining({ code: "E_TASK_WEIGHTS" }),
    );
  });
});

describe("MSSR's choice", () => {
  const options = (method: Method, run: string, steps: number) => ({
    workflow: toyTeam,
    tasks: toyTasks,
    policies: { small: tabularPolicy({ words }) },
    method,
    steps,
    tasksPerStep: 1,
    learningRate: 0.1,
    evaluateEvery: 0,
    checkpointEvery: 1,
    recordEpisodesEvery: 1,
    runsFolder,
    run,
  });
  const control = { reporter: silentReporter };
  /** A method that is told as MSSR is, and learns nothing, so that the memory alone decides. */
  const still = (solved: readonly number[]): Method => {
    const method = mssr({ chooseTasks: true, leastKept: 0.5, mostKept: 0.5 });
    const names = new Set<string>();
    return {
      ...method,
      taskWeights: (tasks) => {
        for (const task of tasks) names.add(task);
        return method.taskWeights!(tasks);
      },
      observe: (facts) =>
        method.observe!({
          ...facts,
          groups: facts.groups.map((group) => ({
            ...group,
            episodes: group.episodes.map((episode) => ({
              ...episode,
              calls: episode.calls.map((call) => ({
                ...call,
                reward: solved[[...names].indexOf(group.task)]!,
              })),
            })),
          })),
        }),
    };
  };
  const words3 = async (run: string, steps: number) =>
    Promise.all(
      Array.from({ length: steps }, async (_, i) => {
        const file = join(runsFolder, run, "episodes", `${String(i + 1).padStart(6, "0")}.jsonl`);
        return (JSON.parse((await readFile(file, "utf8")).split("\n")[0]!) as { task: ToyTask }).task.word;
      }),
    );

  test("a task that is always solved comes less often than one that is solved half of the time", async () => {
    const steps = 120;
    await train(options(still([1, 0.5, 0]), "chooses", steps), control);
    const seen = await words3("chooses", steps);
    const count = (word: string) => seen.filter((one) => one === word).length;
    expect(count("sky")).toBeGreaterThan(count("sun") + 15);
    expect(count("sky")).toBeGreaterThan(count("leaf") + 15);
    expect(count("sun")).toBeGreaterThan(0);
  });

  test("a run that goes on chooses what it would have chosen", async () => {
    const method = () => mssr({ chooseTasks: true });
    await train(options(method(), "whole", 12), control);
    const stop = new AbortController();
    let seen = 0;
    const event = ({ kind }: { readonly kind: string }) => {
      if (kind === "step" && ++seen === 5) stop.abort();
    };
    await train(options(method(), "parts", 12), {
      signal: stop.signal,
      reporter: { ...silentReporter, event },
    });
    await train(options(method(), "parts", 12), control);
    expect(await words3("parts", 12)).toEqual(await words3("whole", 12));
    const metrics = (run: string) => readFile(join(runsFolder, run, "metrics.jsonl"), "utf8");
    expect(await metrics("parts")).toBe(await metrics("whole"));
  });
});
