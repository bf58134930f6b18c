/** Updates: how often the weights move, on what, and what a policy that is frozen or in a run of its own sees of it. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine/policy-spec.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { type TabularPolicy, tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { stepLines } from "./run-files.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-update-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const options = (overrides: Partial<TrainOptions<ToyTask>>): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
  policies: { small: tabularPolicy({ words, valueHead: true }) },
  method: ppo({ groupSize: 16 }),
  steps: 60,
  tasksPerStep: 3,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  ...overrides,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(runsFolder, run));
const weights = async (run: string, step: string, policy = "small") =>
  (await readFile(join(runsFolder, run, "checkpoints", step, policy, "table.f32"))).toString("base64");

/** A policy whose calls are counted. */
function counted(spec: PolicySpec<TabularPolicy>, counts: Record<string, number>): PolicySpec<TabularPolicy> {
  return {
    ...spec,
    open: async (context) => {
      const policy = await spec.open(context);
      for (const name of ["forward", "backward", "step", "sample"] as const) {
        const method = policy[name].bind(policy) as (...given: unknown[]) => Promise<unknown>;
        Object.assign(policy, {
          [name]: (...given: unknown[]) => {
            counts[name] = (counts[name] ?? 0) + 1;
            return method(...given);
          },
        });
      }
      return policy;
    },
  };
}

describe("PPO", () => {
  test("learns the toy task with its value head", async () => {
    const summary = await train(options({ run: "ppo" }), control);
    expect(summary.before?.correct).toBeLessThan(0.5);
    expect(summary.after?.correct).toBe(1);
    const all = await steps("ppo");
    const loss = (step: (typeof all)[number]) => step.policies.small.statistics.valueLoss;
    expect(loss(all.at(-1))).toBeLessThan(loss(all[0]) / 2);
  });

  test("says which policy has no value head", async () => {
    const policies = { small: tabularPolicy({ words }) };
    await expect(train(options({ run: "headless", policies, steps: 1 }), control)).rejects.toThrow(
      /policy "small" has no value head/,
    );
  });

  test("two epochs of two minibatches are four optimiser steps, the same from the same seed", async () => {
    const counts: Record<string, number> = {};
    const method = ppo({ groupSize: 16, epochs: 2, minibatches: 2 });
    const policies = { small: counted(tabularPolicy({ words, valueHead: true }), counts) };
    const summary = await train(options({ run: "four", method, policies, steps: 3 }), control);
    expect(counts.step).toBe(12);
    expect((await steps("four"))[0].policies.small).toMatchObject({ optimizerSteps: 4, version: 4 });
    expect(summary.steps).toBe(3);
    await train(options({ run: "again", method, policies, steps: 3 }), control);
    expect(await weights("again", "step-000003")).toBe(await weights("four", "step-000003"));
  });
});

test("with one epoch and one minibatch recorded log-probs make every ratio 1; with more they move away", async () => {
  const method = (epochs: number) => grpo({ groupSize: 16, epochs });
  await train(options({ run: "once", method: method(1), steps: 2 }), control);
  await train(options({ run: "thrice", method: method(3), steps: 2 }), control);
  const ratio = async (run: string) => (await steps(run))[0].policies.small.statistics.largestRatio;
  expect(await ratio("once")).toBeCloseTo(1, 5);
  expect(await ratio("thrice")).toBeGreaterThan(1.01);
});

test("each policy has an optimiser of its own, with its own settings", async () => {
  const spec = () => tabularPolicy({ words });
  const both = (run: string, optimizers: TrainOptions<ToyTask>["optimizers"]) =>
    train(
      options({
        run,
        method: grpo({ groupSize: 16 }),
        policies: { a: spec(), b: spec() },
        assign: { planner: "a", answerer: "b" },
        ...(optimizers === undefined ? {} : { optimizers }),
        steps: 1,
      }),
      control,
    );
  await both("equal", undefined);
  await both("slower", { b: { learningRate: 0.001 } });
  const [step] = await steps("slower");
  expect(step.policies.a.learningRate).toBe(0.1);
  expect(step.policies.b.learningRate).toBe(0.001);
  expect(await weights("slower", "step-000001", "a")).toBe(await weights("equal", "step-000001", "a"));
  expect(await weights("slower", "step-000001", "b")).not.toBe(await weights("equal", "step-000001", "b"));
  await expect(both("typo", { c: { learningRate: 1 } })).rejects.toThrow(
    /optimizers.c: there is no policy "c"/,
  );
});

test("a frozen policy is sampled, and never scored, differentiated or stepped", async () => {
  const counts: Record<string, number> = {};
  const frozen: PolicySpec = {
    kind: "frozen",
    open: async (context) => {
      const inner = await counted(tabularPolicy({ words }), counts).open(context);
      const { tokenizer, contextLength } = inner;
      return {
        name: context.name,
        version: 0,
        contextLength,
        tokenizer,
        sample: (request) => inner.sample(request),
        close: () => inner.close(),
      };
    },
  };
  await train(
    options({
      run: "frozen",
      method: grpo({ groupSize: 16 }),
      policies: { a: tabularPolicy({ words }), b: frozen },
      assign: { planner: "a", answerer: "b" },
      steps: 2,
    }),
    control,
  );
  expect(counts).toEqual({ sample: expect.any(Number) });
  expect(Object.keys((await steps("frozen"))[0].policies)).toEqual(["a"]);
});

test("an update that fails fails the run, after the other policies have come to their end", async () => {
  const ended: string[] = [];
  const failing: PolicySpec<TabularPolicy> = {
    ...tabularPolicy({ words }),
    open: async (context) => {
      const policy = await tabularPolicy({ words }).open(context);
      policy.step = async () => {
        throw new Error("out of memory");
      };
      return policy;
    },
  };
  const slow: PolicySpec<TabularPolicy> = {
    ...tabularPolicy({ words }),
    open: async (context) => {
      const policy = await tabularPolicy({ words }).open(context);
      const step = policy.step.bind(policy);
      policy.step = async (given) => {
        await new Promise((go) => setTimeout(go, 30));
        ended.push("slow");
        return step(given);
      };
      return policy;
    },
  };
  const policies = { a: failing, b: slow };
  const assign = { planner: "a", answerer: "b" };
  const method = grpo({ groupSize: 16 });
  await expect(train(options({ run: "fails", policies, assign, method, steps: 1 }), control)).rejects.toThrow(
    "out of memory",
  );
  expect(ended).toEqual(["slow"]);
});

describe("staleness", () => {
  test("sampling runs ahead by the bound and the team still learns", async () => {
    const summary = await train(
      options({ run: "ahead", method: grpo({ groupSize: 16 }), staleness: 2 }),
      control,
    );
    expect(summary.after?.correct).toBe(1);
    const lags = (await steps("ahead")).map(({ policies }) => policies.small.staleness ?? 0);
    expect(Math.max(...lags)).toBe(2);
  });

  test("a run that was stopped while it sampled ahead goes on to its end", async () => {
    const stop = new AbortController();
    const reporter = {
      ...silentReporter,
      step: ({ step }: { step: number }) => {
        if (step === 7) stop.abort();
      },
    };
    const ahead = options({
      run: "stopped-ahead",
      method: grpo({ groupSize: 16 }),
      staleness: 2,
      steps: 40,
    });
    const first = await train(ahead, { reporter, signal: stop.signal });
    expect(first).toMatchObject({ interrupted: true, steps: 7 });
    const second = await train(ahead, control);
    expect(second).toMatchObject({ interrupted: false, steps: 40 });
    expect((await steps("stopped-ahead")).map(({ step }) => step)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    expect(second.after?.correct).toBe(1);
  });

  test("0 is strictly on-policy", async () => {
    await train(options({ run: "strict", method: grpo({ groupSize: 16 }), steps: 5 }), control);
    for (const { policies } of await steps("strict")) expect(policies.small.staleness).toBeUndefined();
  });
});
