/** Supervised fine-tuning: a policy learns what a teacher's episodes say, and nothing of what it was asked. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { key } from "../../src/random/stream.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import {
  type Demonstration,
  demonstrationsOf,
  type FineTuneOptions,
  fineTune,
} from "../../src/trainer/fine-tune.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import { toyTasks, toyTeam, words } from "./toy-team.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-fine-tune-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const demonstrations: readonly Demonstration[] = toyTasks.map(({ word, answer }) => ({
  prompt: `${word} hint:`,
  answer,
}));
const options = (over: Partial<FineTuneOptions> = {}): FineTuneOptions => ({
  policy: tabularPolicy({ words }),
  demonstrations,
  steps: 60,
  perStep: 3,
  learningRate: 0.3,
  saveTo: join(folder, "saved"),
  ...over,
});

test("a policy learns what is demonstrated, and the weights can be read back", async () => {
  const seen: number[] = [];
  const { losses, saved, steps } = await fineTune(options({ onStep: ({ loss }) => seen.push(loss) }));
  expect(steps).toBe(60);
  expect(seen).toEqual(losses);
  // Uniform at first, over the answer's word and the end token.
  const policy = await tabularPolicy({ words }).open({ name: "p", seed: 0 });
  expect(losses[0]).toBeCloseTo(Math.log(policy.tokenizer.vocabularySize), 5);
  expect(losses.at(-1)).toBeLessThan(0.01);
  await policy.restore(saved);
  for (const { prompt, answer } of demonstrations) {
    const tokens = policy.tokenizer.encode(prompt as string);
    const { text } = await policy.sample({
      prompt: tokens,
      maxTokens: 2,
      sampling: { temperature: 0 },
      key: key("test"),
    });
    expect(text).toBe(answer);
  }
});

test("microbatches change nothing; the seed decides", async () => {
  const losses = async (over: Partial<FineTuneOptions>) =>
    (await fineTune(options({ steps: 5, perStep: 2, ...over }))).losses;
  const whole = await losses({});
  expect(await losses({ tokensPerMicrobatch: 1 })).toEqual(whole.map((loss) => expect.closeTo(loss, 5)));
  expect(await losses({})).toEqual(whole);
  // Each pass takes every demonstration once: steps of two out of three differ in order alone.
  expect(await losses({ seed: 9, steps: 3 })).toHaveLength(3);
});

test("a teacher's episodes are demonstrations", async () => {
  // One character is a token of this teacher, and the agents may say one.
  const teacher = await scriptedPolicy({ answer: () => "b" }).open({ name: "teacher", seed: 0 });
  const trajectory = await runEpisode({
    workflow: toyTeam,
    task: toyTasks[1]!,
    policies: new Map([["teacher", teacher]]),
    assignment: new Map([
      ["planner", "teacher"],
      ["answerer", "teacher"],
    ]),
    stage: "train",
    identity: { purpose: "teach", step: 0, group: 0, task: 1, sample: 0 },
    seed: 0,
  });
  expect(demonstrationsOf([trajectory])).toEqual([
    { prompt: "sky hint:", answer: "b" },
    { prompt: "b answer:", answer: "b" },
  ]);
  expect(demonstrationsOf([trajectory], { agents: ["planner"] })).toHaveLength(1);
  expect(demonstrationsOf([{ ...trajectory, status: "failed" }])).toEqual([]);
});

test("what cannot be demonstrated is refused by its number; a stopped run keeps what it learned", async () => {
  const wrong = (demonstration: Demonstration) =>
    fineTune(options({ demonstrations: [...demonstrations, demonstration] }));
  await expect(wrong({ prompt: "sun hint:", answer: "" })).rejects.toThrow(
    /Demonstration 3 has an empty answer/,
  );
  await expect(wrong({ prompt: "", answer: "blue" })).rejects.toThrow(/Demonstration 3 has an empty prompt/);
  await expect(wrong({ prompt: Array(70).fill("sun").join(" "), answer: "blue" })).rejects.toThrow(
    /holds 64/,
  );
  await expect(fineTune(options({ demonstrations: [] }))).rejects.toThrow(/no demonstrations/);
  const stop = new AbortController();
  const stopped = await fineTune(
    options({ signal: stop.signal, onStep: ({ step }) => step === 2 && stop.abort() }),
  );
  expect(stopped.steps).toBe(2);
});
