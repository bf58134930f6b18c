import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { type Agent, agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
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
  expect(await readdir(join(runsFolder, "learns", "checkpoints"))).toEqual(["step-000050", "step-000060"]);
  expect(await readdir(join(runsFolder, "learns", "checkpoints", "step-000060"))).toEqual([
    "manifest.json",
    "small",
    "state.json",
  ]);
  const [episode] = await jsonl("learns", "episodes", "000001.jsonl");
  expect(episode).toMatchObject({ schema: "troupe.episode/2", status: "complete", workflow: "toy" });
  expect(episode.calls.map((call: { agent: string }) => call.agent)).toEqual(["planner", "answerer"]);
  expect(Object.keys(episode.advantages)).toEqual(["0", "1"]);
});

test("the same seed gives the same run byte by byte, another seed another", async () => {
  await train(toy({ run: "one", steps: 4 }), control);
  await train(toy({ run: "two", steps: 4, concurrency: 5 }), control);
  await train(toy({ run: "three", steps: 4, seed: 1 }), control);
  expect(await read("two", "metrics.jsonl")).toBe(await read("one", "metrics.jsonl"));
  expect(await read("three", "metrics.jsonl")).not.toBe(await read("one", "metrics.jsonl"));
  const weights = (name: string) =>
    readFile(join(runsFolder, name, "checkpoints", "step-000004", "small", "table.f32"));
  expect(await weights("two")).toEqual(await weights("one"));
});

test("cutting the batch into microbatches gives the same weights to rounding", async () => {
  await train(toy({ run: "whole", steps: 1 }), control);
  await train(toy({ run: "cut", steps: 1, tokensPerMicrobatch: 7 }), control);
  const table = async (name: string) => {
    const bytes = await readFile(join(runsFolder, name, "checkpoints", "step-000001", "small", "table.f32"));
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  };
  const [whole, cut] = [await table("whole"), await table("cut")];
  // AdamW's first step moves each weight by ±the rate, so a wrong sign or a lost microbatch shows.
  for (let i = 0; i < whole.length; i++) expect(Math.abs(whole[i]! - cut[i]!)).toBeLessThan(1e-4);
  expect(whole.some((value) => Math.abs(value) > 0.09)).toBe(true);
});

test("two policies learn apart; a frozen one takes part and stays as it is", async () => {
  const separate = await train(
    toy({
      run: "separate",
      policies: { first: tabularPolicy({ words }), second: tabularPolicy({ words }) },
      assign: { planner: "first", answerer: "second" },
    }),
    control,
  );
  expect(separate.after?.correct).toBe(1);
  expect((await readdir(join(runsFolder, "separate", "checkpoints", "step-000060"))).sort()).toEqual([
    "first",
    "manifest.json",
    "second",
    "state.json",
  ]);

  // Characters are the oracle's tokens, so its agent may write more of them than the answerer may write words.
  const hinter = agent("hinter", { prompt: (v: { word: string }) => v.word, maxTokens: 16 });
  const { answerer } = toyTeam.agents as { answerer: Agent<{ hint: string }, string> };
  const helped = workflow(
    "helped",
    { agents: { hinter, answerer }, task: taskOf<ToyTask>() },
    async ({ task, agents, reward }) => {
      const hint = await agents.hinter({ word: task.word });
      const reply = await agents.answerer({ hint: hint.text });
      reward(reply.text === task.answer ? 1 : 0);
      return reply.text;
    },
  );
  const oracle = scriptedPolicy({
    answer: (word) => ({ sun: "yellow", sky: "blue", leaf: "green" })[word] ?? "?",
  });
  const policies = { oracle, small: tabularPolicy({ words }) };
  const assign = { hinter: "oracle", answerer: "small" };
  await train(toy({ run: "frozen", workflow: helped, policies, assign, steps: 40 }), control);
  const steps = (await jsonl("frozen", "metrics.jsonl")).filter(({ kind }) => kind === "step");
  expect(Object.keys(steps[0].policies)).toEqual(["small"]);
  expect(steps.at(-1).reward.mean).toBeGreaterThan(0.8);
});

test("a penalty towards the start keeps the policy nearer to it", async () => {
  await train(toy({ run: "free" }), control);
  await train(toy({ run: "held", method: grpo({ groupSize: 16, klCoefficient: 5 }) }), control);
  const last = async (name: string) =>
    (await jsonl(name, "metrics.jsonl")).filter(({ kind }) => kind === "step").at(-1);
  const held = await last("held");
  expect(held.policies.small.statistics.referenceKl).toBeGreaterThan(0);
  expect(held.reward.mean).toBeLessThan((await last("free")).reward.mean - 0.2);
});

test("an entropy bonus keeps the entropy up", async () => {
  await train(toy({ run: "entropic", method: grpo({ groupSize: 16, entropyCoefficient: 1 }) }), control);
  const entropy = async (name: string) =>
    (await jsonl(name, "metrics.jsonl")).filter(({ kind }) => kind === "step").at(-1).policies.small
      .statistics.entropy;
  expect(await entropy("entropic")).toBeGreaterThan((await entropy("free")) + 0.3);
});

describe("failures", () => {
  const flaky = (share: number) => {
    const spec = tabularPolicy({ words });
    let calls = 0;
    return {
      ...spec,
      open: async (context: Parameters<typeof spec.open>[0]) => {
        const policy = await spec.open(context);
        const sample = policy.sample.bind(policy);
        policy.sample = async (request) => {
          if (++calls % Math.round(1 / share) === 0) throw new Error("the engine hiccuped");
          return sample(request);
        };
        return policy;
      },
    };
  };

  test("a failed episode is typed, counted, and in no batch", async () => {
    await train(toy({ run: "flaky", steps: 3, policies: { small: flaky(1 / 20) } }), control);
    const [step] = (await jsonl("flaky", "metrics.jsonl")).filter(({ kind }) => kind === "step");
    expect(step.failures["model/E_MODEL_CALL"]).toBeGreaterThan(0);
    const failed = step.failures["model/E_MODEL_CALL"];
    expect(step.episodes).toBe(48 - failed);
    expect(step.policies.small.sequences).toBe(2 * (48 - failed));
    const episodes = await jsonl("flaky", "episodes", "000001.jsonl");
    for (const { status, advantages } of episodes) {
      expect(Object.keys(advantages)).toHaveLength(status === "complete" ? 2 : 0);
    }
  });

  test("too many failures stop the run and say why", async () => {
    const running = train(toy({ run: "sick", steps: 3, policies: { small: flaky(1 / 4) } }), control);
    await expect(running).rejects.toMatchObject({ code: "E_FAILURE_RATE", name: "RunStoppedError" });
    await expect(running).rejects.toThrow(/Commonest: model\/E_MODEL_CALL.*the engine hiccuped/s);
  });

  test("a metric that is not a number fails its episode", async () => {
    const running = train(toy({ run: "metric", steps: 0, metrics: { f1: () => Number.NaN } }), control);
    await expect(running).rejects.toThrow(/reward\/E_METRIC.*Metric "f1"/s);
  });

  test("rewards that never differ are explained in words after three steps", async () => {
    const warnings: string[] = [];
    const flat = workflow(
      "flat",
      { agents: toyTeam.agents, task: taskOf<ToyTask>() },
      async ({ agents, reward }) => {
        await (agents.planner as (v: { word: string }) => Promise<unknown>)({ word: "sun" });
        reward(0);
      },
    );
    await train(toy({ run: "flat", workflow: flat, steps: 7 }), {
      reporter: { ...silentReporter, warn: (text) => warnings.push(text) },
    });
    expect(warnings.shift()).toContain("3 of 3 held-out tasks are also training tasks");
    // Findings of the first group come before those of the steps.
    const streaks = warnings.filter((text) => text.startsWith("No group had rewards that differ"));
    expect(streaks).toHaveLength(2);
    expect(streaks[0]).toContain("all 48 rewards are 0.000");
    expect(streaks[0]).toContain("the tasks are too hard for the policy");
    const steps = (await jsonl("flat", "metrics.jsonl")).filter(({ kind }) => kind === "step");
    expect(steps.at(-1)).toMatchObject({
      groupsWithoutSignal: 3,
      policies: { small: { updated: false, version: 0 } },
    });
  });

  test("samples of older weights are refused", async () => {
    const spec = tabularPolicy({ words });
    const stale = {
      ...spec,
      open: async (context: Parameters<typeof spec.open>[0]) => {
        const policy = await spec.open(context);
        const sample = policy.sample.bind(policy);
        policy.sample = async (request) => ({ ...(await sample(request)), version: 0 });
        return policy;
      },
    };
    await expect(
      train(toy({ run: "stale", steps: 3, policies: { small: stale } }), control),
    ).rejects.toMatchObject({ code: "E_STALE_SAMPLE" });
    // What was learned before the error is not lost.
    expect(await readdir(join(runsFolder, "stale", "checkpoints"))).toEqual(["step-000001"]);
  });
});

test("a stop saves the weights, says where, and leaves no half-done step", async () => {
  const stop = new AbortController();
  const said: string[] = [];
  const reporter = {
    ...silentReporter,
    info: (text: string) => said.push(text),
    step: ({ step }: { step: number }) => {
      if (step === 3) stop.abort();
    },
  };
  const summary = await train(toy({ run: "stopped", steps: 50 }), { reporter, signal: stop.signal });
  expect(summary).toMatchObject({ interrupted: true, steps: 3 });
  expect(summary.after).toBeUndefined();
  expect(await readdir(join(runsFolder, "stopped", "checkpoints"))).toEqual(["step-000003"]);
  expect(said.at(-1)).toContain("stopped after step 3 of 50");
  expect(JSON.parse(await read("stopped", "checkpoints", "step-000003", "state.json"))).toMatchObject({
    step: 3,
    seed: 0,
    versions: { small: 3 },
  });
  const uninterrupted = await train(
    toy({ run: "through", steps: 50, checkpointEvery: 3, keepCheckpoints: { last: 17 } }),
    control,
  );
  expect(uninterrupted.interrupted).toBe(false);
  const table = (run: string) =>
    readFile(join(runsFolder, run, "checkpoints", "step-000003", "small", "table.f32"));
  expect(await table("stopped")).toEqual(await table("through"));
});

test("a checkpoint gives the policy back as it was", async () => {
  await train(toy({ run: "saved", steps: 5 }), control);
  const policy = await tabularPolicy({ words }).open({ name: "small", seed: 0 });
  await policy.restore(join(runsFolder, "saved", "checkpoints", "step-000005", "small"));
  expect(policy.version).toBe(5);
  await policy.save(join(runsFolder, "again"), { optimizer: true });
  for (const file of ["table.f32", "first.f32", "second.f32"]) {
    expect(await readFile(join(runsFolder, "again", file))).toEqual(
      await readFile(join(runsFolder, "saved", "checkpoints", "step-000005", "small", file)),
    );
  }
});

test("an earlier run of the name is moved aside, a running one is refused", async () => {
  await train(toy({ run: "name", steps: 1, seed: 1 }), control);
  await train(toy({ run: "name", steps: 1, seed: 2 }), control);
  expect(JSON.parse(await read("name", "summary.json")).seed).toBe(2);
  expect(JSON.parse(await read("name-1", "summary.json")).seed).toBe(1);
  const both = await Promise.allSettled([
    train(toy({ run: "twice", steps: 2 }), control),
    train(toy({ run: "twice", steps: 2 }), control),
  ]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  await mkdir(join(runsFolder, "busy"));
  // The parent of this process certainly lives.
  await writeFile(join(runsFolder, "busy", "run.lock"), String(process.ppid));
  await expect(train(toy({ run: "busy", steps: 1 }), control)).rejects.toMatchObject({
    code: "E_RUN_ACTIVE",
  });
});

test("config.json tells what was run", async () => {
  await train(toy({ run: "told", steps: 0 }), control);
  expect(JSON.parse(await read("told", "config.json"))).toMatchObject({
    workflow: { name: "toy", agents: { planner: { maxTokens: 1 } } },
    policies: { small: { kind: "tabular" } },
    assign: { planner: "small", answerer: "small" },
    method: { name: "grpo", groupSize: 16, ddof: 0 },
    steps: 0,
    seed: 0,
  });
});
