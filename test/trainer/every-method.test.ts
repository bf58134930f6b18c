/**
 * Every named method of the catalogue in a real run of a team of two: it finishes, moves weights, and, where a hundred
 * cheap episodes are enough, makes the team better. What it has learned is in the checkpoint, and the run goes on from it.
 */

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { catalog, importOf } from "../../src/catalog/index.ts";
import * as methods from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { episodeTurns } from "../../src/search/episodes.ts";
import { treeGrpo } from "../../src/search/tree-grpo.ts";
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
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-every-method-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const planner = agent("planner", { prompt: (v: { word: string }) => `${v.word} hint:`, maxTokens: 1 });
const answerer = agent("answerer", { prompt: (v: { hint: string }) => `${v.hint} answer:`, maxTokens: 1 });
const team = workflow(
  "toy",
  { agents: { planner, answerer }, task: taskOf<ToyTask>() },
  async ({ task, agents, reward }) => {
    const hint = await agents.planner({ word: task.word });
    const reply = await agents.answerer({ hint: hint.text });
    reward(reply.text === task.answer ? 1 : 0, { name: "correct" });
    return reply.text;
  },
);

/** What a method cannot be made without here. */
const needed: Readonly<Record<string, unknown>> = {
  constrained: { thresholds: { correct: 0.9 }, groupSize: 8 },
  ppo: { groupSize: 8 },
  "reinforce-plus-plus": { groupSize: 8 },
  mssr: undefined,
  "per-policy": { small: methods.grpo({ groupSize: 8 }) },
};
/** Trains three policies and no fewer: test/trainer/mmapo.test.ts. */
const elsewhere: readonly string[] = ["mmapo"];
/** Those that a toy of 30 steps does not have to improve: why. */
const excused: Readonly<Record<string, string>> = {
  copo: "answers of this toy differ by less than ρ = 1.5 nats, so it compares tasks and hardly episodes",
  // One pair or one best call a group teaches little a step, against a KL or a likelihood term.
  crraft: "one call a task, weighted by σ of the reward, wrong ones too",
  codpo: "its likelihood term holds what was sampled",
  "semi-online": "it is for recorded episodes that were patched",
};

const make = (name: string): Method => {
  const card = catalog.find((one) => one.name === name)!;
  const maker = (methods as unknown as Readonly<Record<string, (given?: unknown) => Method>>)[
    importOf(card)!.name
  ]!;
  return maker(needed[name]);
};
const heads = (method: Method) => Number(method.needs.values ?? 0);
const options = (method: Method, run: string, steps: number): TrainOptions<ToyTask> => ({
  workflow: team,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ reward }) => reward },
  evaluation: { samples: 16, decoding: "sampled" },
  policies: {
    small: tabularPolicy({ words, ...(heads(method) > 0 ? { valueHead: heads(method) } : {}) }),
  },
  method,
  // Two chains and three continuations of their turns: eight leaves.
  ...(method.needs.trees === true
    ? { search: { plan: () => treeGrpo({ trees: 2, expansions: 3, rounds: 1, turns: episodeTurns }) } }
    : {}),
  steps,
  tasksPerStep: Math.max(3, Math.ceil(24 / method.groupSize)),
  learningRate: 0.15,
  evaluateEvery: 0,
  recordEpisodesEvery: 0,
  runsFolder,
  run,
});
const control = { reporter: silentReporter };
const weights = async (checkpoint: string) => {
  const [file] = (await readdir(join(checkpoint, "small"))).filter((name) => !name.includes("optimizer"));
  return readFile(join(checkpoint, "small", file!), "base64");
};

const trained = catalog
  .filter(({ stage, name }) => stage === "method" && !elsewhere.includes(name))
  .map(({ name }) => name);

describe.each(trained)("%s", (name) => {
  test("trains a team", async () => {
    const summary = await train(options(make(name), `${name}-learns`, 30), control);
    const metrics = await stepLines(join(runsFolder, `${name}-learns`));
    expect(metrics.some(({ policies }) => policies.small.updated)).toBe(true);
    for (const { policies } of metrics)
      if (policies.small.updated) expect(Number.isFinite(policies.small.loss)).toBe(true);
    if (!Object.hasOwn(excused, name))
      expect(Number(summary.after!.correct)).toBeGreaterThan(Number(summary.before!.correct) + 0.1);
  });

  test("goes on from a checkpoint to the same weights", async () => {
    const whole = await train({ ...options(make(name), `${name}-whole`, 6), checkpointEvery: 1 }, control);
    const stop = new AbortController();
    let seen = 0;
    const event = ({ kind }: { readonly kind: string }) => {
      if (kind === "step" && ++seen === 3) stop.abort();
    };
    const parts = { ...options(make(name), `${name}-parts`, 6), checkpointEvery: 1 };
    await train(parts, { signal: stop.signal, reporter: { ...silentReporter, event } });
    const { checkpoint } = await train({ ...parts, method: make(name) }, control);
    expect(await weights(checkpoint!)).toBe(await weights(whole.checkpoint!));
  });
});
