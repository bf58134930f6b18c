/** Constrained RLHF in a run: several value heads, thresholds that hold, and a checkpoint that knows the multipliers. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { constrained } from "../../src/methods/constrained.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { stepLines } from "./run-files.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-constrained-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

interface Coin {
  readonly word: string;
}

const threshold = 0.6;
const words = ["coin", "heads", "tails"];
const caller = agent("caller", { prompt: ({ word }: Coin) => word, maxTokens: 1 });
const coin = workflow(
  "coin",
  { agents: { caller }, task: taskOf<Coin>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.caller(task);
    reward(text === "heads" ? 1 : 0, { name: "heads" });
    reward(text === "tails" ? 1 : 0, { name: "tails" });
    return text;
  },
);

const options = (over: Partial<TrainOptions<Coin>>): TrainOptions<Coin> => ({
  workflow: coin,
  tasks: [{ word: "coin" }],
  policies: { small: tabularPolicy({ words, valueHead: 2 }) },
  method: constrained({
    thresholds: { heads: threshold },
    multiplier: "tanh",
    dualLearningRate: 0.2,
    dualMomentum: 0,
    groupSize: 32,
    epochs: 4,
  }),
  steps: 54,
  tasksPerStep: 1,
  learningRate: 0.03,
  evaluateEvery: 0,
  checkpointEvery: 0,
  runsFolder,
  ...over,
});
const control = { reporter: silentReporter };
interface Step {
  readonly kind: string;
  readonly terms: { readonly heads: number };
  readonly policies: { readonly small: { readonly statistics: Readonly<Record<string, number>> } };
}
const steps = (run: string): Promise<readonly Step[]> => stepLines(join(runsFolder, run));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

test("raises a reward above its threshold, and then lets go of it, though more could be had", async () => {
  await train(options({ run: "threshold" }), control);
  const all = await steps("threshold");
  const heads = all.map(({ terms }) => terms.heads);
  expect(mean(heads.slice(0, 5))).toBeLessThan(0.45);
  const peak = heads.indexOf(Math.max(...heads));
  expect(heads[peak]).toBeGreaterThan(0.8);
  // Plain PPO would stay there. Multipliers add up what was too much, so the reward swings about its threshold.
  expect(Math.min(...heads.slice(peak))).toBeLessThan(threshold);
  const of = (step: Step) => step.policies.small.statistics;
  const lambdas = all.map((step) => of(step)["multiplier.heads"]!);
  for (let i = 1; i < lambdas.length; i++) {
    const [before, after] = [lambdas[i - 1]!, lambdas[i]!];
    const raw = Math.atanh(before) - 0.2 * (1 - before ** 2) * (heads[i - 1]! - threshold);
    expect(after, `step ${i + 1}`).toBeCloseTo(Math.tanh(raw), 6);
  }
  expect(of(all.at(-1)!).klValueLoss).toBeGreaterThan(0);
  expect(of(all.at(-1)!)["valueLoss.heads"]).toBeGreaterThan(0);
});

test("a policy with one head for two streams is refused before the first episode", async () => {
  const policies = { small: tabularPolicy({ words, valueHead: true }) };
  await expect(train(options({ run: "one-head", policies }), control)).rejects.toThrow(
    /"constrained" needs 2 value heads, and policy "small" has one/,
  );
});

test("a threshold for a reward that nobody gives stops the run, naming those that are given", async () => {
  const method = constrained({ thresholds: { haeds: 0.6 }, groupSize: 4 });
  await expect(train(options({ run: "misspelled", method, steps: 1 }), control)).rejects.toThrow(
    /named "haeds".*heads, tails/s,
  );
});

test("a run that goes on knows its multipliers: it is the run that was never cut", async () => {
  await train(options({ run: "whole", steps: 5 }), control);
  const stop = new AbortController();
  let seen = 0;
  const reporter = { ...silentReporter, step: () => void (++seen === 3 && stop.abort(new Error("enough"))) };
  await train(options({ run: "cut", steps: 5, checkpointEvery: 1 }), { reporter, signal: stop.signal }).catch(
    () => {},
  );
  expect((await steps("cut")).length).toBe(3);
  await train(options({ run: "cut", steps: 5, checkpointEvery: 1 }), control);
  const [whole, cut] = [await steps("whole"), await steps("cut")];
  expect(cut.map(({ policies }) => policies.small.statistics)).toEqual(
    whole.map(({ policies }) => policies.small.statistics),
  );
});
