/** @file A selector in the real trainer: a contextual bandit, with PPO and its value network, and with GRPO. */

import { cpSync, rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choicePolicy } from "../../../../src/engine/local/index.ts";
import { grpo } from "../../../../src/methods/grpo.ts";
import type { Method } from "../../../../src/methods/method.ts";
import { ppo } from "../../../../src/methods/ppo.ts";
import type { TrainOptions } from "../../../../src/trainer/config.ts";
import { type Reporter, silentReporter } from "../../../../src/trainer/reporter.ts";
import { train } from "../../../../src/trainer/train.ts";
import { agent } from "../../../../src/workflow/agent.ts";
import { taskOf } from "../../../../src/workflow/task-schema.ts";
import { workflow } from "../../../../src/workflow/workflow.ts";
import { jsonLines } from "../../../trainer/run-files.ts";

interface Question {
  readonly text: string;
  readonly best: string;
}
const topics: Readonly<Record<string, readonly string[]>> = {
  none: ["hello there", "good morning", "thank you very much"],
  triples: ["who directed the film", "who wrote the book", "who sang the song"],
  subgraph: ["films like the one with ships", "books like the one about whales", "songs like the slow one"],
  connected: ["how are the actor and the singer related", "how are two towns related", "how are we related"],
};
const questions: readonly Question[] = Object.entries(topics).flatMap(([best, texts]) =>
  texts.map((text) => ({ text, best })),
);
const choices = Object.keys(topics);

const selector = agent("selector", { prompt: (q: { text: string }) => q.text, maxTokens: 1 });
const bandit = workflow(
  "bandit",
  { agents: { selector }, task: taskOf<Question>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.selector(task);
    reward(text === task.best ? 1 : 0, { name: "best" });
    return text;
  },
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-choice-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const options = (
  method: Method,
  overrides: Partial<TrainOptions<Question>> = {},
): TrainOptions<Question> => ({
  workflow: bandit,
  tasks: questions,
  evaluate: questions,
  evaluateEvery: 0,
  metrics: { best: ({ result, task }) => (result === task.best ? 1 : 0) },
  policies: { selector: choicePolicy({ choices, valueHead: true, threads: 2 }) },
  method,
  steps: 16,
  tasksPerStep: 12,
  learningRate: 3e-3,
  runsFolder: folder,
  ...overrides,
});
const lines = (run: string) => jsonLines(join(folder, run, "metrics.jsonl"));
const control = { reporter: silentReporter };

test.each([
  ["ppo", () => ppo({ groupSize: 2, epochs: 2, minibatches: 2 })],
  ["grpo", () => grpo({ groupSize: 4 })],
] as const)("%s finds the best choice of every context", async (run, method) => {
  await train(options(method(), { run }), control);
  const told = await lines(run);
  const [before, after] = told.filter(({ kind }) => kind === "evaluation");
  expect(before.best).toBeLessThan(0.6);
  expect(after.best).toBeGreaterThan(0.9);
  const [first] = told.filter(({ kind }) => kind === "step");
  // Invariant 1, in the trainer: the sampler's log-probs are those of the training pass.
  expect(first.policies.selector.largestSamplerGap).toBeLessThan(1e-4);
});

test("a killed run goes on to the same weights, moments and metrics, exploration and dropout included", async () => {
  const policies = () => ({
    selector: choicePolicy({
      ...{ choices, valueHead: true, threads: 2, dropout: 0.1, hidden: [16, 8] },
      exploration: { epsilon: true, countBonus: 0.2 },
    }),
  });
  const of = (run: string) =>
    options(ppo({ groupSize: 2 }), { run, policies: policies(), steps: 5, checkpointEvery: 2 });
  const copying: Reporter = {
    ...silentReporter,
    step: ({ step }) => {
      if (step === 3) cpSync(join(folder, "whole"), join(folder, "killed"), { recursive: true });
    },
  };
  await train(of("whole"), { reporter: copying });
  rmSync(join(folder, "killed", "run.lock"));
  await train(of("killed"), control);
  expect(await lines("killed")).toEqual(await lines("whole"));
  for (const file of ["model.safetensors", "optimizer.safetensors", "trainer_state.json"]) {
    const [whole, killed] = await Promise.all(
      ["whole", "killed"].map((run) =>
        readFile(join(folder, run, "checkpoints", "step-000005", "selector", file)),
      ),
    );
    expect(whole!.equals(killed!), file).toBe(true);
  }
  const { counts } = JSON.parse(
    await readFile(join(folder, "killed/checkpoints/step-000005/selector/trainer_state.json"), "utf8"),
  );
  expect(counts.reduce((a: number, b: number) => a + b, 0)).toBe(5 * 24);
  // Explored choices are scored as what acted, not as what the policy thought.
  const [first] = (await lines("whole")).filter(({ kind }) => kind === "step");
  expect(first.policies.selector.largestSamplerGap).toBeLessThan(Math.log(2));
});
