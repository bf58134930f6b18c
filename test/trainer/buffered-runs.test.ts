/** Runs whose policies wait for calls: what is updated with what, also over several steps, ahead of time and after a stop. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { compose } from "../../src/methods/compose.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import type { BatchCall, LossInput, Method } from "../../src/methods/method.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { stepLines } from "./run-files.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-buffered-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

function watching(over: Partial<Method> = {}) {
  const batches: (readonly BatchCall[])[] = [];
  const inputs: LossInput[] = [];
  const inner = compose({ advantage: groupAdvantage({ epsilon: 1e-6 }), loss: clipped() });
  const method: Method = {
    ...inner,
    groupSize: 4,
    prepare: (batch) => {
      if (batch[0]?.policy === "a") batches.push(batch);
    },
    loss: (input) => {
      inputs.push(input);
      return inner.loss(input);
    },
    ...over,
  };
  return { method, batches, inputs };
}
const options = (method: Method, given: Partial<TrainOptions<ToyTask>> = {}): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words }) },
  assign: { planner: "a", answerer: "b" },
  method,
  steps: 6,
  tasksPerStep: 2,
  learningRate: 0.1,
  evaluateEvery: 0,
  checkpointEvery: 0,
  recordEpisodesEvery: 0,
  runsFolder,
  ...given,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(runsFolder, run));

test("a policy is updated with multiples of its number, and the metrics say what waits", async () => {
  const { method } = watching();
  // Eight calls a step and policy.
  await train(options(method, { run: "multiples", buffer: { a: 12 } }), control);
  const found = (await steps("multiples")).map(({ policies }) => policies);
  expect(found.map(({ a }) => [a.sequences, a.waiting ?? 0])).toEqual([
    [0, 8],
    [12, 4],
    [12, 0],
    [0, 8],
    [12, 4],
    [12, 0],
  ]);
  expect(found[2].a.waiting).toBeUndefined();
  expect(found.map(({ a }) => a.updated)[0]).toBe(false);
  for (const { b } of found) expect([b.sequences, b.waiting]).toEqual([8, undefined]);
  // What waited for weights that changed meanwhile is old on purpose, and no staleness.
  for (const { a } of found) expect(a.staleness).toBeUndefined();
});

test.each([
  ["in several optimiser steps", { updates: { epochs: 2, minibatches: 2 } }, 0],
  ["while sampling runs ahead", {}, 1],
  ["in several optimiser steps, while sampling runs ahead", { updates: { epochs: 2, minibatches: 2 } }, 1],
])("%s: what waited is trained on, once", async (name, over, staleness) => {
  const { method, batches } = watching(over);
  const run = `several-${name.length}`;
  await train(options(method, { run, buffer: 5, staleness }), control);
  const seen = batches.flatMap((batch) => batch.map(({ episode, order }) => `${episode} ${order}`));
  expect(new Set(seen).size).toBe(seen.length);
  const found = await steps(run);
  expect(found.reduce((sum, { policies }) => sum + policies.a.sequences, 0)).toBe(45);
  expect(found.at(-1).policies.a.waiting).toBe(3);
  const lag = Math.max(...found.map(({ policies }) => policies.a.staleness ?? 0));
  expect(lag).toBeLessThanOrEqual(staleness * 4);
  expect(lag > 0).toBe(staleness > 0);
});

test("what waits survives a stop: the same batches, told the same, to the same weights", async () => {
  const weights = (checkpoint: string) =>
    Promise.all(["a", "b"].map((name) => readFile(join(checkpoint, name, "table.f32"), "base64")));
  const over = { buffer: 12, steps: 5 };
  const whole = watching();
  const wanted = await train(options(whole.method, { ...over, run: "whole" }), control);
  const stop = new AbortController();
  let seen = 0;
  const event = ({ kind }: { readonly kind?: unknown }) => {
    // Four calls wait.
    if (kind === "step" && ++seen === 2) stop.abort();
  };
  const [first, second] = [watching(), watching()];
  await train(options(first.method, { ...over, run: "parts" }), {
    signal: stop.signal,
    reporter: { ...silentReporter, event },
  });
  const { checkpoint } = await train(options(second.method, { ...over, run: "parts" }), control);
  expect([...first.batches, ...second.batches]).toEqual(whole.batches);
  expect(second.batches[0]!.map(({ task }) => task)).not.toContain(undefined);
  expect(await steps("parts")).toEqual(await steps("whole"));
  expect(await weights(checkpoint)).toEqual(await weights(wanted.checkpoint));
});

test("a method's plan and needs of one policy are that policy's alone", async () => {
  const base = watching().method;
  const { method, inputs } = watching({
    updates: { epochs: 2, minibatches: 1 },
    updatesOf: (name) => (name === "a" ? { epochs: 1, minibatches: 3 } : undefined),
    needsOf: (name) => (name === "a" ? { ...base.needs, entropy: true } : undefined),
  } as Partial<Method>);
  await train(options(method, { run: "plans", steps: 4, staleness: 1 }), control);
  const found = await steps("plans");
  const done = found.map(({ policies: { a, b } }) => [a.optimizerSteps, b.optimizerSteps]);
  expect(Math.max(...done.map(([a]) => a!))).toBe(3);
  expect(Math.max(...done.map(([, b]) => b!))).toBe(2);
  // The bound of a lag is each policy's own.
  expect(Math.max(...found.map(({ policies }) => policies.a.staleness ?? 0))).toBeGreaterThan(2);
  for (const { policy, entropies } of inputs) expect(entropies !== undefined).toBe(policy === "a");
});
