/** @file The whole way on the real engine: workflow, sampling, GRPO, AdamW, checkpoints. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { saveModelFolder } from "../../src/engine/local/checkpoint/index.ts";
import { local } from "../../src/engine/local/index.ts";
import { initialiseModel } from "../../src/engine/local/model/initialise.ts";
import { decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";
import { parseConfig } from "../../src/engine/local/model/parse-config.ts";
import { FlatTensors } from "../../src/engine/local/model/weights.ts";
import { openBackend } from "../../src/engine/local/ort/open.ts";
import { trainBpe, writeTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { stepLines } from "./run-files.ts";

let folder: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-local-train-"));
  model = join(folder, "model");
  const tokenizer = join(folder, "tokenizer");
  const text = "Question: thing 1 2 3 4 5 6 7 8 9\nAnswer: the sea the tree the bee\nText: Good: yes no";
  await writeTokenizer(tokenizer, trainBpe([text], { vocabularySize: 260, contextLength: 128 }));
  const sourceConfig = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 260,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
    eos_token_id: 0,
  };
  const config = parseConfig(sourceConfig);
  const table = parameterTable(decoderShapes(config));
  const flat = new FlatTensors(await openBackend({ threads: 1 }), table);
  initialiseModel(flat, 5, 0.1);
  await saveModelFolder(
    model,
    { config, sourceConfig, table, flat: flat.flat },
    { format: "F32", copyFrom: tokenizer },
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Task {
  readonly word: string;
}
const writer = agent("writer", {
  prompt: (v: { word: string }) => `Question: ${v.word}\nAnswer:`,
  maxTokens: 8,
});
const judge = agent("judge", { prompt: (v: { text: string }) => `Text: ${v.text}\nGood:`, maxTokens: 3 });
const letters = workflow(
  "letters",
  { agents: { writer, judge }, task: taskOf<Task>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.writer({ word: task.word });
    await agents.judge({ text });
    reward([...text].filter((letter) => letter === "e").length / Math.max(8, text.length));
    return text;
  },
);

const options = (overrides: Partial<TrainOptions<Task>>): TrainOptions<Task> => ({
  workflow: letters,
  tasks: Array.from({ length: 8 }, (_, i) => ({ word: `thing ${i}` })),
  policies: { small: local(model, { threads: 1 }) },
  method: grpo({ groupSize: 8 }),
  steps: 12,
  tasksPerStep: 4,
  learningRate: 1e-2,
  evaluateEvery: 0,
  runsFolder: join(folder, "runs"),
  ...overrides,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(folder, "runs", run));

test("learns, with log-probs of sampling and training equal, and the same again from the same seed", async () => {
  await train(options({ run: "one" }), control);
  const all = await steps("one");
  expect(all.at(-1).reward.mean).toBeGreaterThan(all[0].reward.mean + 0.1);
  for (const { policies } of all) expect(policies.small.largestSamplerGap).toBeLessThan(1e-4);
  await train(options({ run: "two", concurrency: 7 }), control);
  expect(await steps("two")).toEqual(all);
  const weights = (run: string) =>
    readFile(join(folder, "runs", run, "checkpoints", "step-000012", "small", "model.safetensors"));
  expect((await weights("two")).equals(await weights("one"))).toBe(true);
});

test("goes on from the folder that a run saved", async () => {
  const saved = join(folder, "runs", "one", "checkpoints", "step-000012", "small");
  await train(
    options({ run: "further", steps: 1, policies: { small: local(saved, { threads: 1 }) } }),
    control,
  );
  const [first] = await steps("further");
  expect(first.reward.mean).toBeGreaterThan((await steps("one"))[0].reward.mean + 0.1);
});

test("trains an adapter for each agent over one base, with a penalty towards the start", async () => {
  const lora = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] } as const;
  const adapter = local(model, { threads: 1, lora });
  await train(
    options({
      run: "adapters",
      policies: { first: adapter, second: adapter },
      assign: { writer: "first", judge: "second" },
      method: grpo({ groupSize: 8, klCoefficient: 0.01, entropyCoefficient: 0.001 }),
      steps: 4,
    }),
    control,
  );
  const last = (await steps("adapters")).at(-1);
  for (const name of ["first", "second"]) {
    expect(last.policies[name]).toMatchObject({ updated: true, version: 4 });
    expect(last.policies[name].statistics.referenceKl).toBeGreaterThan(0);
    expect(last.policies[name].largestSamplerGap).toBeLessThan(1e-4);
  }
});

test("a stop in the middle of sampling ends the run and saves", async () => {
  const stop = new AbortController();
  const reporter = { ...silentReporter, step: () => setTimeout(() => stop.abort(), 20) };
  const summary = await train(options({ run: "stopped", steps: 100_000 }), { reporter, signal: stop.signal });
  expect(summary.interrupted).toBe(true);
  const state = JSON.parse(await readFile(join(summary.checkpoint, "state.json"), "utf8"));
  expect(state.versions.small).toBe(summary.steps);
});
