/** A method that shows earlier episodes to the team again (R³), in a run. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Method, RewardedGroup, SamplingRequest } from "../../src/methods/method.ts";
import { r3 } from "../../src/methods/r3.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { jsonLines } from "./run-files.ts";
import { words as toyWords } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-reflection-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

interface Question {
  readonly word: string;
  readonly answer: string;
  readonly wrong?: string;
}

const words = [...toyWords, "not:", "first:"];
const guesser = agent("guesser", {
  prompt: ({ word, wrong }: Question) => (wrong === undefined ? `${word} first:` : `${word} ${wrong} not:`),
  maxTokens: 1,
});
const guess = workflow(
  "guess",
  { agents: { guesser }, task: taskOf<Question>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.guesser(task);
    reward(text === task.answer ? 1 : 0);
    return text;
  },
);
const questions: readonly Question[] = [
  { word: "sun", answer: "yellow" },
  { word: "sky", answer: "blue" },
];
const reflect: NonNullable<TrainOptions<Question>["reflect"]> = (task, { result }) => ({
  ...task,
  wrong: String(result),
});

function watched(method: Method = r3({ groupSize: 4, reflectBelow: 0.6 })) {
  const told: (readonly RewardedGroup[])[] = [];
  return {
    told,
    method: {
      ...method,
      creditAll: (groups: readonly RewardedGroup[]) => {
        told.push(groups);
        return method.creditAll!(groups);
      },
    },
  };
}

const options = (method: Method, given: Partial<TrainOptions<Question>>): TrainOptions<Question> => ({
  workflow: guess,
  tasks: questions,
  policies: { small: tabularPolicy({ words }) },
  method,
  reflect,
  steps: 12,
  tasksPerStep: 2,
  learningRate: 0.1,
  evaluateEvery: 0,
  checkpointEvery: 1,
  recordEpisodesEvery: 1,
  runsFolder,
  ...given,
});
const control = { reporter: silentReporter };
const lines = (...path: readonly string[]) => jsonLines(join(runsFolder, ...path));
const episodes = (run: string, step: number) =>
  lines(run, "episodes", `${String(step).padStart(6, "0")}.jsonl`);

test("a wrong answer is shown again, as a group of its own that is trained on and not remembered", async () => {
  const { method, told } = watched();
  await train(options(method, { run: "shown" }), control);
  const reflections = told.flatMap((groups) => groups.filter(({ reflection }) => reflection === true));
  expect(reflections.length).toBeGreaterThan(3);
  for (const { episodes: own } of reflections) expect(own).toHaveLength(4);
  const names = new Set(
    told.flatMap((groups) => groups.filter(({ reflection }) => !reflection)).map(({ task }) => task),
  );
  expect(names.size).toBe(2);
  for (const { task } of reflections) expect(names.has(task)).toBe(false);

  const { tokenizer: tokens } = await tabularPolicy({ words }).open({ name: "small", seed: 0 });
  let shown = 0;
  for (let step = 1; step <= 12; step++)
    for (const { task, calls, identity } of await episodes("shown", step)) {
      if (task.wrong === undefined) continue;
      shown++;
      // What it is shown is a wrong answer to that very question.
      expect(task.wrong).not.toBe(task.answer);
      expect(questions[identity.task]).toMatchObject({ word: task.word, answer: task.answer });
      expect(calls[0].prompt).toContain(tokens.encode("not:")[0]);
    }
  expect(shown).toBe(4 * reflections.length);
  const kept = JSON.parse(
    await readFile(join(runsFolder, "shown", "checkpoints", "step-000012", "state.json"), "utf8"),
  );
  expect(JSON.stringify(kept)).toContain("guess");
  expect(JSON.stringify(kept)).not.toContain("wrong");
});

test("a run that is stopped goes on to the same weights", async () => {
  const make = () => r3({ groupSize: 4, reflectBelow: 0.6 });
  const whole = await train(options(make(), { run: "whole" }), control);
  const stop = new AbortController();
  let seen = 0;
  const event = ({ kind }: { readonly kind: string }) => {
    if (kind === "step" && ++seen === 6) stop.abort();
  };
  await train(options(make(), { run: "parts" }), {
    signal: stop.signal,
    reporter: { ...silentReporter, event },
  });
  const parts = await train(options(make(), { run: "parts" }), control);
  expect(await lines("parts", "metrics.jsonl")).toEqual(await lines("whole", "metrics.jsonl"));
  expect(parts.steps).toBe(whole.steps);
});

test("without `reflect` the run is refused before it begins", async () => {
  const { reflect: _, ...rest } = options(watched().method, { run: "none" });
  await expect(train(rest, control)).rejects.toThrow(
    /reflect: method "r3" shows earlier episodes again, and the run does not say how/,
  );
});

test("a `reflect` that throws is named with its episode", async () => {
  const failing = () => {
    throw new Error("no such field");
  };
  const run = train(options(watched().method, { run: "throws", reflect: failing }), control);
  await expect(run).rejects.toThrow(/`reflect` failed for episode train\/.*no such field/s);
  await expect(run).rejects.toMatchObject({ code: "E_REFLECT" });
});

test("what is not remembered cannot be reflected on", async () => {
  const { method } = watched();
  const next = (): readonly SamplingRequest[] => [{ kind: "reflect", group: 0, episode: "x" }];
  const asking = { ...method, sampler: { ...method.sampler!, next } };
  await expect(train(options(asking, { run: "unknown" }), control)).rejects.toThrow(/not remembered/);
});
