/** HACPO in a real run: two tables with other words under other ids learn one task together, and go on from a checkpoint. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gspo } from "../../src/methods/gspo.ts";
import { hacpo } from "../../src/methods/hacpo.ts";
import type { Method } from "../../src/methods/method.ts";
import { sharedRollouts } from "../../src/methods/shared-rollouts.ts";
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
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-hacpo-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

/** The same words under other ids, and one more that the first policy does not know. */
const otherWords = ["purple", ...[...words].reverse()];
const solver = agent("solver", { prompt: (v: { word: string }) => `${v.word} answer:`, maxTokens: 1 });
const alone = workflow(
  "alone",
  { agents: { solver }, task: taskOf<ToyTask>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.solver({ word: task.word });
    reward(text === task.answer ? 1 : 0, { name: "correct" });
    return text;
  },
);
const wide = { clipLow: 0.2, clipHigh: 0.2 };
const both = { a: { solver: "a" }, b: { solver: "b" } };

const runOf = (
  method: Method,
  run: string,
  steps: number,
  given: Partial<TrainOptions<ToyTask>> = {},
): TrainOptions<ToyTask> => ({
  workflow: alone,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ reward }) => reward },
  evaluation: { samples: 16, decoding: "sampled" },
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words: otherWords }) },
  teams: both,
  method,
  steps,
  tasksPerStep: 3,
  learningRate: 0.1,
  evaluateEvery: 0,
  recordEpisodesEvery: 0,
  checkpointEvery: 1,
  runsFolder,
  run,
  ...given,
});
const control = { reporter: silentReporter };
const stepsOf = (run: string) => stepLines(join(runsFolder, run));
const weightsOf = (checkpoint: string, names: readonly string[]) =>
  Promise.all(names.map((name) => readFile(join(checkpoint, name, "table.f32"), "base64")));
const total = (numbers: readonly (number | undefined)[]) =>
  numbers.reduce<number>((sum, value) => sum + (value ?? 0), 0);

describe.each([
  ["hacpo", () => hacpo(wide)],
  ["shared-rollouts", () => sharedRollouts(wide)],
] as const)("%s", (name, make) => {
  test("both policies learn, also from each other's texts", async () => {
    const { before, after } = await train(runOf(make(), `${name}-learns`, 30), control);
    for (const metric of ["correct.a", "correct.b"])
      expect(Number(after![metric]), metric).toBeGreaterThan(Number(before![metric]) + 0.2);
    const steps = await stepsOf(`${name}-learns`);
    for (const { policies } of steps) {
      // All 24 calls of the other are given or refused: an end token alone has no text.
      for (const { given, refused = {} } of [policies.a, policies.b])
        expect((given ?? 0) + total(Object.values(refused))).toBeLessThanOrEqual(24);
    }
    expect(total(steps.map(({ policies }) => policies.a.given))).toBeGreaterThan(100);
    expect(total(steps.map(({ policies }) => policies.b.given))).toBeGreaterThan(100);
    // "purple" is no word of the first policy.
    expect(total(steps.map(({ policies }) => policies.a.refused?.roundTrip))).toBeGreaterThan(0);
    expect(total(steps.map(({ policies }) => policies.b.refused?.roundTrip))).toBe(0);
  });

  test("goes on from a checkpoint to the same weights", async () => {
    const whole = await train(runOf(make(), `${name}-whole`, 6), control);
    const stop = new AbortController();
    let seen = 0;
    const event = ({ kind }: { readonly kind: string }) => {
      if (kind === "step" && ++seen === 3) stop.abort();
    };
    const run = `${name}-parts`;
    await train(runOf(make(), run, 6), { signal: stop.signal, reporter: { ...silentReporter, event } });
    const { checkpoint } = await train(runOf(make(), run, 6), control);
    const found = await weightsOf(checkpoint!, ["a", "b"]);
    expect(found).toEqual(await weightsOf(whole.checkpoint!, ["a", "b"]));
  });
});

test("a frozen policy teaches and is not taught", async () => {
  const spec = tabularPolicy({ words: otherWords });
  const teacher = {
    ...spec,
    kind: "frozen",
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const policy = await spec.open(context);
      const { name, version, contextLength, tokenizer, parameterCount } = policy;
      return {
        ...{ name, version, contextLength, tokenizer, parameterCount },
        sample: policy.sample.bind(policy),
        forward: policy.forward.bind(policy),
        close: async () => {},
      };
    },
  };
  const policies = { a: tabularPolicy({ words }), b: teacher };
  const { before, after } = await train(runOf(hacpo(wide), "teacher", 30, { policies }), control);
  expect(Number(after!["correct.a"])).toBeGreaterThan(Number(before!["correct.a"]) + 0.2);
  const steps = await stepsOf("teacher");
  expect(total(steps.map(({ policies: of }) => of.a.given))).toBeGreaterThan(100);
  for (const { policies: of } of steps) expect(Object.keys(of)).toEqual(["a"]);
});

test("with one team it is GSPO, byte for byte", async () => {
  const one = { policies: { a: tabularPolicy({ words }) }, teams: { a: { solver: "a" } } };
  const four = { groupSize: 8, ...wide, minibatches: 4 };
  const shared = await train(runOf(hacpo(four), "one-hacpo", 5, one), control);
  const plain = await train(runOf(gspo({ ...four, ddof: 1 }), "one-gspo", 5, one), control);
  expect(await weightsOf(shared.checkpoint!, ["a"])).toEqual(await weightsOf(plain.checkpoint!, ["a"]));
});
