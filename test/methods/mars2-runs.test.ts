/** MARS² in whole runs: trees by several policies, one of them frozen; each trained on its own nodes. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Mars2Settings, mars2 } from "../../src/methods/mars2.ts";
import { marsSearch } from "../../src/search/mars2-search.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { type RetryTask, retry, retryTasks, words } from "../trainer/retry-team.ts";
import { stepLines } from "../trainer/run-files.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-mars2-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const teams = { a: { guesser: "a" }, b: { guesser: "b" } };
const options = (
  run: string,
  settings: Mars2Settings = {},
  given: Partial<TrainOptions<RetryTask>> = {},
): TrainOptions<RetryTask> => ({
  workflow: retry,
  tasks: retryTasks,
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words }) },
  teams,
  search: marsSearch<RetryTask>({
    teams,
    nodes: 6,
    more: (task) => ({ ...task, attempts: task.attempts + 1 }),
  }),
  method: mars2(settings),
  steps: 4,
  tasksPerStep: 3,
  learningRate: 0.3,
  evaluateEvery: 0,
  runsFolder,
  run,
  ...given,
});
const steps = (run: string) => stepLines(join(runsFolder, run));
const control = { reporter: silentReporter };

test("two policies learn from one tree, each on its own nodes", async () => {
  await train(options("two", {}, { steps: 40 }), control);
  const metrics = await steps("two");
  const reward = (of: readonly { readonly reward: { readonly mean: number } }[]) =>
    of.reduce((sum, step) => sum + step.reward.mean, 0) / of.length;
  expect(reward(metrics.slice(-5))).toBeGreaterThan(reward(metrics.slice(0, 5)) + 0.2);
  for (const { policies } of metrics) {
    const made = Object.values<{ sequences: number }>(policies).map(({ sequences }) => sequences);
    // A node that goes on has its parent's calls too; they are trained where they were made.
    expect(made.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(18);
  }
  const [first] = metrics;
  expect(first.policies.a.sequences + first.policies.b.sequences).toBe(18);
  expect(first.policies.a.statistics).toHaveProperty("referenceKl");
});

test("a frozen policy takes part, is compared with, and is trained on nothing", async () => {
  const frozen = scriptedPolicy({ answer: (prompt) => (prompt.includes("sun") ? "yellow" : "red") });
  await train(options("frozen", {}, { policies: { a: tabularPolicy({ words }), b: frozen } }), control);
  const metrics = await steps("frozen");
  for (const { policies } of metrics) expect(Object.keys(policies)).toEqual(["a"]);
  const trained = metrics.reduce((sum, { policies }) => sum + policies.a.sequences, 0);
  expect(trained).toBeLessThan(4 * 18);
  expect(trained).toBeGreaterThan(0);
});

test("one policy on its own tree, with samples of older weights, weighed once", async () => {
  const alone = (staleness: number): Partial<TrainOptions<RetryTask>> => ({
    policies: { a: tabularPolicy({ words }) },
    teams: { a: teams.a },
    search: marsSearch<RetryTask>({
      policies: ["a"],
      agents: ["guesser"],
      nodes: 4,
      more: (task) => ({ ...task, attempts: task.attempts + 1 }),
    }),
    staleness,
    steps: 8,
  });
  await train(options("fresh", {}, alone(0)), control);
  for (const { policies } of await steps("fresh"))
    expect(policies.a.statistics ?? {}).not.toHaveProperty("importance");
  await train(options("alone", {}, alone(1)), control);
  const weighed = (await steps("alone")).flatMap(({ policies }) =>
    policies.a?.statistics?.importance === undefined ? [] : [policies.a.statistics.importance],
  );
  expect(weighed.length).toBeGreaterThan(0);
  for (const importance of weighed) expect(importance).toBeLessThanOrEqual(2);
});
