import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { grpo } from "../../../src/methods/grpo.ts";
import type { Method } from "../../../src/methods/method.ts";
import { perPolicy } from "../../../src/methods/per-policy.ts";
import { reinforcePlusPlus } from "../../../src/methods/reinforce-plus-plus.ts";
import { tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { collectApart, trainApart } from "../../../src/trainer/apart/index.ts";
import type { TrainOptions } from "../../../src/trainer/config.ts";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { train } from "../../../src/trainer/train.ts";
import { reflect, rememberingMethod } from "../crash/remembering-method.ts";
import { type ToyTask, words } from "../toy-team.ts";
import { apartRun, outcome, policyNames } from "./apart-run.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "troupe-apart-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const quiet = { reporter: silentReporter, beat: 0.05 };

/** The run in one process, and in three that share a folder. */
async function both(name: string, overrides: () => Partial<TrainOptions<ToyTask>>) {
  await train(apartRun(join(root, name, "whole"), overrides()), quiet);
  const store = join(root, name, "store");
  const options = () => ({ ...apartRun(join(root, name, "apart"), overrides()), store });
  const [summary, ...trained] = await Promise.all([
    collectApart(options(), quiet),
    ...policyNames.map((policy) => trainApart({ ...options(), policy }, quiet)),
  ]);
  return {
    store,
    summary,
    trained,
    whole: outcome(join(root, name, "whole", "apart")),
    apart: outcome(join(root, name, "apart", "apart")),
  };
}

test("trainers apart come to the weights, the optimisers and the metrics of one process, bit for bit", async () => {
  const { whole, apart, trained, summary, store } = await both("grpo", () => ({}));
  expect(apart).toEqual(whole);
  expect(summary).toMatchObject({ steps: 6, interrupted: false });
  for (const [i, policy] of policyNames.entries())
    expect(trained[i]).toMatchObject({ policy, step: 6, interrupted: false });
  // What nobody needs any more is gone, and so are all locks.
  expect(readdirSync(join(store, "steps")).sort()).toEqual(["step-000005", "step-000006"]);
  expect(readdirSync(join(store, "weights", "first")).sort()).toEqual([
    "step-000004",
    "step-000005",
    "step-000006",
  ]);
});

test("so with a method that learns, branches and remembers", async () => {
  const { whole, apart } = await both("remembering", () => ({ method: rememberingMethod(4), reflect }));
  expect(apart).toEqual(whole);
});

test("so with buffers, several optimiser steps, a reference and optimisers of their own", async () => {
  const { whole, apart } = await both("buffered", () => ({
    method: reinforcePlusPlus({ groupSize: 4, klCoefficient: 0.05, epochs: 2, minibatches: 2 }),
    buffer: { second: 7 },
    optimizers: { second: { learningRate: 0.03 } },
  }));
  expect(apart).toEqual(whole);
});

test("a reference is opened where the policy's own method compares with it, by its trainer alone", async () => {
  const spec = tabularPolicy({ words });
  const opened: string[] = [];
  const watched: typeof spec = {
    ...spec,
    open: (context) => {
      if (context.name.endsWith("(reference)")) opened.push(context.name);
      return spec.open(context);
    },
    openReference: (context) => {
      opened.push(context.name);
      return spec.open(context);
    },
  };
  const { whole, apart } = await both("compared", () => ({
    policies: { first: watched, second: watched },
    method: perPolicy({
      first: reinforcePlusPlus({ groupSize: 4, klCoefficient: 0.05 }),
      second: grpo({ groupSize: 4 }),
    }),
  }));
  expect(apart).toEqual(whole);
  // One in the whole run, and one in the trainer of "first".
  expect(opened).toEqual(["first (reference)", "first (reference)"]);
});

test("so with a method whose loss depends on what it learned between steps", async () => {
  const { whole, apart } = await both("drifting", () => ({ method: drifting() }));
  expect(apart).toEqual(whole);
});

test("each process goes on where it was stopped, also in the middle of a step", async () => {
  // The checkpoint that it goes on from is the one that is made when it is stopped.
  const learning = () => ({ method: drifting(), buffer: { second: 7 }, checkpointEvery: 0 });
  await train(apartRun(join(root, "stopped", "whole"), learning()), quiet);
  const store = join(root, "stopped", "store");
  const options = () => ({ ...apartRun(join(root, "stopped", "apart"), learning()), store });
  const stop = new AbortController();
  const info = (text: string) => {
    if (text.startsWith("step 2/")) stop.abort();
  };
  const halt = new AbortController();
  const first = trainApart({ ...options(), policy: "first" }, quiet);
  const second = trainApart(
    { ...options(), policy: "second" },
    { ...quiet, signal: stop.signal, reporter: { ...silentReporter, info } },
  );
  const controller = collectApart(options(), { ...quiet, signal: halt.signal });
  expect(await second).toMatchObject({ step: 2, interrupted: true });
  // Credited, published, and half of it trained on.
  await vi.waitUntil(() => existsSync(join(store, "weights", "first", "step-000003")), { interval: 5 });
  halt.abort();
  expect(await controller).toMatchObject({ steps: 2, interrupted: true });
  const [summary, again] = await Promise.all([
    collectApart(options(), quiet),
    trainApart({ ...options(), policy: "second" }, quiet),
  ]);
  expect(summary).toMatchObject({ steps: 6, interrupted: false });
  expect(again).toMatchObject({ step: 6, interrupted: false });
  expect(await first).toMatchObject({ step: 6, interrupted: false });
  expect(outcome(join(root, "stopped", "apart", "apart"))).toEqual(
    outcome(join(root, "stopped", "whole", "apart")),
  );
});

test("a trainer whose place was taken while it updated writes nothing", async () => {
  const copy = join(root, "taken");
  cpSync(join(root, "grpo", "store"), copy, { recursive: true });
  const place = join(copy, "weights", "first");
  await rm(join(place, "step-000006"), { recursive: true });
  const other = { host: "elsewhere", pid: 1, token: "other", beats: 0, doing: "updates" };
  const spec = tabularPolicy({ words });
  const robbed: typeof spec = {
    ...spec,
    open: async (context) => {
      const policy = await spec.open(context);
      const { step } = policy;
      policy.step = (options) => {
        writeFileSync(join(place, "lock.json"), JSON.stringify(other));
        return step.call(policy, options);
      };
      return policy;
    },
  };
  const options = apartRun(join(root, "taken-runs"), { policies: { first: robbed, second: spec } });
  await expect(
    trainApart({ ...options, store: copy, policy: "first" }, { ...quiet, beat: 5 }),
  ).rejects.toMatchObject({ code: "E_APART_LOST" });
  expect(existsSync(join(place, "step-000006"))).toBe(false);
});

test("a controller that waits says for whom and since when, and gives up in time", async () => {
  const said: string[] = [];
  const reporter = { ...silentReporter, info: (text: string) => said.push(text) };
  const store = join(root, "alone", "store");
  const options = () => ({ ...apartRun(join(root, "alone", "apart"), { evaluateEvery: 0 }), store });
  await expect(
    collectApart(options(), { reporter, sayAfter: 0.05, timeout: 0.4, beat: 0.05 }),
  ).rejects.toMatchObject({ code: "E_APART_TIMEOUT" });
  expect(said.join("\n")).toMatch(
    /the controller waits for policy "second" at step 1, for 0 s now: the trainer of "second" is not running/,
  );
  // The sampled step waits in the store; the trainer takes it up, and then there is no controller to go on with.
  await expect(trainApart({ ...options(), policy: "first" }, { ...quiet, timeout: 0.2 })).rejects.toThrow(
    /"first" waits for step 2, in vain for 0 s: the controller is not running/,
  );
});

test("a trainer waits for its controller, and gives up in time", async () => {
  const options = { ...apartRun(join(root, "early")), store: join(root, "early", "store") };
  await expect(trainApart({ ...options, policy: "first" }, { ...quiet, timeout: 0.1 })).rejects.toThrow(
    /"first" waits for the run, in vain for 0 s: the controller is not running/,
  );
});

test("one trainer a policy, and one controller a store", async () => {
  const options = { ...apartRun(join(root, "twice")), store: join(root, "twice", "store") };
  const stop = new AbortController();
  const one = trainApart({ ...options, policy: "first" }, { ...quiet, signal: stop.signal });
  const ahead = collectApart(options, { ...quiet, signal: stop.signal });
  for (const place of ["controller", "weights/first"])
    await vi.waitUntil(() => existsSync(join(options.store, place, "lock.json")));
  await expect(trainApart({ ...options, policy: "first" }, quiet)).rejects.toMatchObject({
    code: "E_APART_LOCKED",
  });
  await expect(collectApart(options, quiet)).rejects.toMatchObject({ code: "E_APART_LOCKED" });
  stop.abort();
  await Promise.all([one, ahead]);
});

test("what does not belong together is refused", async () => {
  const store = join(root, "grpo", "store");
  const other = apartRun(join(root, "other"), { seed: 1 });
  await expect(trainApart({ ...other, store, policy: "first" }, quiet)).rejects.toMatchObject({
    code: "E_APART_OTHER_RUN",
  });
  await expect(collectApart({ ...other, store }, quiet)).rejects.toMatchObject({
    code: "E_APART_STORE_USED",
  });
  await expect(trainApart({ ...other, store, policy: "third" }, quiet)).rejects.toMatchObject({
    code: "E_APART_SETTING",
  });
  await expect(collectApart({ ...other, staleness: 1, store }, quiet)).rejects.toMatchObject({
    code: "E_APART_SETTING",
  });
  await expect(collectApart({ ...other, store }, { ...quiet, beat: 0 })).rejects.toMatchObject({
    code: "E_APART_SETTING",
  });
  expect(existsSync(join(root, "other", "apart", "summary.json"))).toBe(false);
  // A new run moves the folder aside in which the store would lie.
  for (const inside of [join(root, "other", "apart"), join(root, "other", "apart", "store")]) {
    const refused = { code: "E_APART_SETTING", hint: expect.stringContaining("apart-store") };
    await expect(collectApart({ ...other, store: inside }, quiet)).rejects.toMatchObject(refused);
    const trainer = { ...other, store: inside, policy: "first" };
    await expect(trainApart(trainer, quiet)).rejects.toMatchObject(refused);
  }
  expect(existsSync(join(root, "other", "apart", "store"))).toBe(false);
});

test("samples that were changed on the disk are refused, and weights too", async () => {
  const store = join(root, "grpo", "store");
  const copy = join(root, "damaged");
  cpSync(store, copy, { recursive: true });
  // As if the trainer had been killed before step 6.
  await rm(join(copy, "weights", "first", "step-000006"), { recursive: true });
  const path = join(copy, "steps", "step-000006", "first.calls");
  const whole = readFileSync(path);
  const options = { ...apartRun(join(root, "damaged-runs")), store: copy, policy: "first" };
  for (const damage of [whole.subarray(0, -9), flipped(whole, whole.length >> 1)]) {
    writeFileSync(path, damage);
    await expect(trainApart(options, quiet)).rejects.toMatchObject({ code: "E_APART_DAMAGED" });
  }
  writeFileSync(path, whole);
  const table = join(copy, "weights", "first", "step-000005", "policy", "table.f32");
  const weights = readFileSync(table);
  writeFileSync(table, flipped(weights, 5));
  await expect(trainApart(options, quiet)).rejects.toMatchObject({ code: "E_APART_DAMAGED" });
  writeFileSync(table, weights);
  await expect(trainApart(options, quiet)).resolves.toMatchObject({ step: 6 });
  const redone = readFileSync(join(copy, "weights", "first", "step-000006", "policy", "table.f32"));
  expect(redone).toEqual(readFileSync(join(store, "weights", "first", "step-000006", "policy", "table.f32")));
});

/** GRPO with gradients that are scaled by what earlier steps were worth. */
function drifting(): Method {
  const base = grpo({ groupSize: 4 });
  let scale = 1;
  return {
    ...base,
    loss: (input) => {
      const output = base.loss(input);
      const logprobs = output.gradients.logprobs.map((gradient) => gradient * scale);
      return { ...output, gradients: { ...output.gradients, logprobs } };
    },
    observe: ({ groups }) => {
      for (const { episodes } of groups)
        for (const { reward } of episodes) scale *= reward === 1 ? 1.02 : 0.98;
    },
    state: () => scale,
    restore: (state) => {
      scale = Number(state);
    },
  };
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 1;
  return copy;
}
