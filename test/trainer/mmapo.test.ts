/** MMAPO in a real run: a selector, an aligner and a recommender, each a table of its own, learn by three updates. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mmapo } from "../../src/methods/mmapo.ts";
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
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-mmapo-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const names = ["selector", "aligner", "recommender"] as const;
const options = ["yellow", "blue", "green"];
const selector = agent("selector", { prompt: (v: { word: string }) => `${v.word} hint:`, maxTokens: 1 });
const aligner = agent("aligner", { prompt: (v: { hint: string }) => `${v.hint} leaf`, maxTokens: 1 });
const recommender = agent("recommender", {
  prompt: (v: { word: string }) => `${v.word} answer:`,
  maxTokens: 1,
});
/** Selector and aligner are paid for single words, the recommender learns from the question alone. */
const team = workflow(
  "mixed",
  { agents: { selector, aligner, recommender }, task: taskOf<ToyTask>() },
  async ({ task, agents, reward }) => {
    const chosen = await agents.selector({ word: task.word });
    const rewritten = await agents.aligner({ hint: task.word });
    const said = await agents.recommender({ word: task.word });
    reward(chosen.text === "sun" ? 1 : 0, { name: "choice", agent: "selector" });
    reward(rewritten.text === "sky" ? 1 : 0, { name: "rewriting", agent: "aligner" });
    reward(said.text === task.answer ? 1 : 0, { name: "correct", agent: "recommender" });
    return { asked: task.answer, chosen: chosen.text, rewritten: rewritten.text, said: said.text };
  },
);
interface Result {
  readonly asked: string;
  readonly chosen: string;
  readonly rewritten: string;
  readonly said: string;
}

const runOf = (run: string, steps: number): TrainOptions<ToyTask> => ({
  workflow: team,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: {
    choice: ({ result }) => Number((result as Result).chosen === "sun"),
    rewriting: ({ result }) => Number((result as Result).rewritten === "sky"),
    correct: ({ result }) => Number((result as Result).said === (result as Result).asked),
  },
  evaluation: { samples: 16, decoding: "sampled" },
  policies: Object.fromEntries(names.map((name) => [name, tabularPolicy({ words, valueHead: true })])),
  assign: Object.fromEntries(names.map((name) => [name, name])),
  method: mmapo({
    options: ({ result }) => ({ options, answer: (result as Result).asked }),
    groupSize: 8,
    recommender: { agent: "recommender" },
  }),
  steps,
  tasksPerStep: 3,
  learningRate: 0.15,
  evaluateEvery: 0,
  recordEpisodesEvery: 0,
  checkpointEvery: 1,
  runsFolder,
  run,
});
const control = { reporter: silentReporter };
const weights = (checkpoint: string) =>
  Promise.all(names.map((name) => readFile(join(checkpoint, name, "table.f32"), "base64")));

test("all three learn, each by its own update", async () => {
  const { before, after } = await train(runOf("learns", 25), control);
  for (const metric of ["choice", "rewriting", "correct"])
    expect(Number(after![metric]), metric).toBeGreaterThan(Number(before![metric]) + 0.2);
  const steps = await stepLines(join(runsFolder, "learns"));
  for (const { policies } of steps) {
    for (const name of names) {
      expect(policies[name].updated).toBe(true);
      expect(Number.isFinite(policies[name].loss)).toBe(true);
    }
    // Three options of each of the step's 24 questions, and nothing that was sampled.
    expect(policies.recommender.given).toBe(72);
    expect(policies.selector.given).toBeUndefined();
    expect(policies.aligner.given).toBeUndefined();
  }
});

test("goes on from a checkpoint to the same weights", async () => {
  const whole = await train(runOf("whole", 6), control);
  const stop = new AbortController();
  let seen = 0;
  const event = ({ kind }: { readonly kind: string }) => {
    if (kind === "step" && ++seen === 3) stop.abort();
  };
  await train(runOf("parts", 6), { signal: stop.signal, reporter: { ...silentReporter, event } });
  const { checkpoint } = await train(runOf("parts", 6), control);
  const found = await weights(checkpoint!);
  expect(found).toEqual(await weights(whole.checkpoint!));
  expect(new Set(found).size).toBe(3);
});
