/** The run's own reward terms, from the configuration to the weights. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { gate } from "../../src/rewards/gate.ts";
import { sum } from "../../src/rewards/sum.ts";
import { agentReward, reward } from "../../src/rewards/terms.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { stepLines } from "./run-files.ts";
import { type ToyTask, toyTasks, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-rewards-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const planner = agent("planner", { prompt: (v: { word: string }) => `${v.word} hint:`, maxTokens: 1 });
const answerer = agent("answerer", { prompt: (v: { hint: string }) => `${v.hint} answer:`, maxTokens: 1 });

/** Gives no reward itself. */
const silentTeam = workflow(
  "silent",
  { agents: { planner, answerer }, task: taskOf<ToyTask>() },
  async ({ task, agents }) => {
    const hint = await agents.planner({ word: task.word });
    return (await agents.answerer({ hint: hint.text })).text;
  },
);

const correct = reward<ToyTask>("correct", ({ result, task }) => (result === task.answer ? 1 : 0));

const options = (overrides: Partial<TrainOptions<ToyTask>>): TrainOptions<ToyTask> => ({
  workflow: silentTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  policies: { small: tabularPolicy({ words }) },
  method: grpo({ groupSize: 16 }),
  steps: 60,
  tasksPerStep: 3,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  rewards: correct,
  ...overrides,
});

const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(runsFolder, run));

test("a workflow that gives no reward learns from the run's terms, in training and evaluation", async () => {
  const summary = await train(options({ run: "outside" }), control);
  expect(summary.before?.reward).toBeLessThan(0.5);
  expect(summary.after?.reward).toBe(1);
});

test("every part is in the metrics under its name, and only the whole counts", async () => {
  const hinted = agentReward<ToyTask>("hinted", "planner", ({ trajectory }) =>
    trajectory.calls[0]!.text === "green" ? 1 : 0,
  );
  const rewards = sum({ gated: gate(correct, [{ term: hinted, atLeast: 0.5 }]), half: [0.5, correct] });
  await train(options({ run: "parts", rewards, steps: 2 }), control);
  const [first] = await steps("parts");
  expect(Object.keys(first.terms)).toEqual(expect.arrayContaining(["correct"]));
  expect(first.reward.mean).toBeGreaterThan(0);
});

test("an episode that a term cannot score is left out, typed and counted", async () => {
  const rewards = reward<ToyTask>("broken", ({ result, task }) =>
    result === "sun" ? Number.NaN : result === task.answer ? 1 : 0,
  );
  await train(options({ run: "broken", rewards, steps: 2, maxFailureRate: 0.9 }), control);
  const [first] = await steps("broken");
  expect(first.failures["reward/E_REWARD_NOT_FINITE"]).toBeGreaterThan(0);
  expect(first.episodes + first.failures["reward/E_REWARD_NOT_FINITE"]).toBe(48);
});

test("a term about an agent or a policy that is not there is a fault of the configuration", async () => {
  const rewards = agentReward<ToyTask>("lost", "nobody", () => 1);
  await expect(train(options({ run: "lost", rewards }), control)).rejects.toThrow(/about agent "nobody"/);
});

test("without any reward the run stops before the first step and says so", async () => {
  const { rewards: _, ...rest } = options({ run: "none" });
  await expect(train(rest, control)).rejects.toThrow(/E_REWARD_MISSING/);
});
