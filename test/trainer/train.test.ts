import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-train-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const toy = (overrides: Partial<TrainOptions<ToyTask>> = {}): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
  policies: { small: tabularPolicy({ words }) },
  method: grpo({ groupSize: 16 }),
  steps: 60,
  tasksPerStep: 3,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  ...overrides,
});

const control = { reporter: silentReporter };
const read = async (...path: string[]) => readFile(join(runsFolder, ...path), "utf8");
const jsonl = async (...path: string[]) =>
  (await read(...path))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("a team of two agents learns its toy task, and the run is on disk", async () => {
  const summary = await train(toy({ run: "learns" }), control);
  expect(summary.before?.correct).toBeLessThan(0.5);
  expect(summary.after?.correct).toBe(1);
  const steps = (await jsonl("learns", "metrics.jsonl")).filter(({ kind }) => kind === "step");
  expect(steps).toHaveLength(60);
  expect(steps[0].reward.mean).toBeLessThan(0.4);
  expect(steps.at(-1).reward.mean).toBeGreaterThan(0.8);
  expect(JSON.parse(await read("learns", "summary.json"))).toMatchObject({
    before: { n: 3, failed: 0 },
    after: { correct: 1, n: 3, ci: { correct: [1, 1] } },
    steps: 60,
    seed: 0,
    interrupted: false,
  });
  expect(await readdir(join(runsFolder, "learns", "checkpoints"))).toEqual(["step-000060"]);
  expect(await readdir(join(runsFolder, "learns", "checkpoints", "step-000060"))).toEqual([
    "small",
    "state.json",
  ]);
  const [episode] = await jsonl("learns", "episodes", "000001.jsonl");
  expect(episode).toMatchObject({ schema: "troupe.episode/1", status: "complete", workflow: "toy" });
  expect(episode.calls.map((call: { agent: string }) => call.agent)).toEqual(["planner", "answerer"]);
  expect(Object.keys(episode.advantages)).toEqual(["0", "1"]);
});
