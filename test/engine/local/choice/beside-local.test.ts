/** @file A choice policy on this thread and a language model on a worker's, in one run, each with its reference. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choicePolicy, local } from "../../../../src/engine/local/index.ts";
import { grpo } from "../../../../src/methods/grpo.ts";
import { silentReporter } from "../../../../src/trainer/reporter.ts";
import { train } from "../../../../src/trainer/train.ts";
import { agent } from "../../../../src/workflow/agent.ts";
import { taskOf } from "../../../../src/workflow/task-schema.ts";
import { workflow } from "../../../../src/workflow/workflow.ts";
import { type ModelFixture, modelFixture } from "../worker/model-fixture.ts";

let fixture: ModelFixture;
beforeAll(async () => {
  fixture = await modelFixture();
});
afterAll(() => fixture.remove());

interface Task {
  readonly word: string;
}
const selector = agent("selector", { prompt: (v: Task) => v.word, maxTokens: 1 });
const writer = agent("writer", {
  prompt: (v: { word: string; style: string }) => `${v.style} ${v.word}`,
  maxTokens: 4,
});
const team = workflow(
  "team",
  { agents: { selector, writer }, task: taskOf<Task>() },
  async ({ task, agents, reward }) => {
    const { text: style } = await agents.selector(task);
    const { text } = await agents.writer({ word: task.word, style });
    reward((style === "long" ? 1 : 0) + text.length / 100);
    return text;
  },
);

test("selector and writer are trained in the same steps", async () => {
  await train(
    {
      workflow: team,
      tasks: [{ word: "cat" }, { word: "mat" }],
      policies: {
        selector: choicePolicy({ choices: ["short", "long"], threads: 2 }),
        small: local(fixture.folder, { threads: 2 }),
      },
      assign: { selector: "selector", writer: "small" },
      method: grpo({ groupSize: 4, klCoefficient: 0.01 }),
      steps: 2,
      tasksPerStep: 2,
      learningRate: 1e-3,
      evaluateEvery: 0,
      run: "both",
      runsFolder: join(fixture.scratch, "runs"),
    },
    { reporter: silentReporter },
  );
  const text = await readFile(join(fixture.scratch, "runs", "both", "metrics.jsonl"), "utf8");
  const steps = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === "step");
  expect(steps).toHaveLength(2);
  for (const { policies } of steps)
    for (const name of ["selector", "small"]) {
      expect(policies[name]).toMatchObject({ updated: true });
      expect(policies[name].largestSamplerGap).toBeLessThan(1e-4);
    }
});
