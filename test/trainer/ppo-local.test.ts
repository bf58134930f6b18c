/** PPO on the real engine: a value head that is trained, saved and restored, and one that is missing. */

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { local } from "../../src/engine/local/index.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { type ModelFixture, modelFixture } from "../engine/local/worker/model-fixture.ts";
import { stepLines } from "./run-files.ts";

let fixture: ModelFixture;
beforeAll(async () => {
  fixture = await modelFixture();
});
afterAll(() => fixture.remove());

interface Task {
  readonly word: string;
}
const writer = agent("writer", { prompt: (v: { word: string }) => v.word, maxTokens: 6 });
/** Two turns of one agent, with a reward of the second call's own beside the shared one. */
const twice = workflow(
  "twice",
  { agents: { writer }, task: taskOf<Task>() },
  async ({ task, agents, reward }) => {
    const first = await agents.writer(task);
    const second = await agents.writer({ word: `${task.word} ${first.text}` });
    const early = (text: string) => [...text].filter((letter) => letter < "m").length / 6;
    reward(early(first.text));
    reward(early(second.text), { call: second.call, name: "second" });
  },
);
const options = (overrides: Partial<TrainOptions<Task>>): TrainOptions<Task> => ({
  workflow: twice,
  tasks: [{ word: "cat" }, { word: "mat" }],
  policies: { small: local(fixture.folder, { valueHead: true, threads: 1 }) },
  method: ppo({ groupSize: 8, epochs: 2, minibatches: 2, turns: { gamma: 1, lambda: 0.95 } }),
  steps: 6,
  tasksPerStep: 2,
  learningRate: 1e-2,
  evaluateEvery: 0,
  runsFolder: join(fixture.scratch, "runs"),
  ...overrides,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(fixture.scratch, "runs", run));

test("learns in four optimiser steps an update, and saves the value head", async () => {
  const summary = await train(options({ run: "ppo" }), control);
  const all = await steps("ppo");
  expect(all).toHaveLength(6);
  expect(all[0].policies.small).toMatchObject({ optimizerSteps: 4, version: 4 });
  expect(all[0].policies.small.largestSamplerGap).toBeLessThan(1e-3);
  expect(all[0].policies.small.statistics.largestRatio).toBeGreaterThan(1);
  expect(all.at(-1).reward.mean).toBeGreaterThan(all[0].reward.mean + 0.1);
  const valueLoss = (step: (typeof all)[number]) => step.policies.small.statistics.valueLoss;
  expect(valueLoss(all.at(-1))).toBeLessThan(valueLoss(all[0]));
  expect(await readdir(join(summary.checkpoint, "small"))).toContain("value_head.safetensors");
});

test("a policy without a value head is refused before anything is sampled, by name", async () => {
  for (const [run, spec] of [
    ["local", local(fixture.folder, { threads: 1 })],
    ["tabular", tabularPolicy({ words: ["cat", "mat"] })],
  ] as const) {
    let sampled = 0;
    const counting = {
      ...spec,
      open: async (context: Parameters<typeof spec.open>[0]) => {
        const policy = await spec.open(context);
        const sample = policy.sample.bind(policy);
        policy.sample = (request) => {
          sampled++;
          return sample(request);
        };
        return policy;
      },
    };
    const running = train(options({ run, policies: { small: counting } }), control);
    await expect(running).rejects.toMatchObject({
      name: "TrainConfigError",
      code: "E_VALUE_HEAD",
      message: expect.stringMatching(
        /"ppo" needs values, and policy "small" has no value head.*valueHead: true/s,
      ),
    });
    expect(sampled).toBe(0);
    expect(existsSync(join(fixture.scratch, "runs", run, "metrics.jsonl"))).toBe(false);
  }
});

test("KL in the reward works beside values, against a reference without a value head", async () => {
  const method = ppo({ groupSize: 4, klCoefficient: 0.05, klIn: "reward" });
  await train(options({ run: "held", method, steps: 3 }), control);
  const all = await steps("held");
  expect(all[0].policies.small.statistics.referenceKl).toBeLessThan(1e-6);
  expect(all.at(-1).policies.small.statistics.referenceKl).toBeGreaterThan(1e-4);
});
