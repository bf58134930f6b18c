/** Evaluation of teams: each by itself, and their mean over the tasks that all of them have. */

import { expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { compare } from "../../src/trainer/evaluate.ts";
import { evaluatePolicies } from "../../src/trainer/evaluate-run.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { describeChange } from "../../src/trainer/summary.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface Sum {
  readonly question: string;
}
const tasks: readonly Sum[] = [{ question: "one" }, { question: "two" }, { question: "three" }];
const solver = agent("solver", { prompt: (v: { question: string }) => v.question });
const grading = workflow(
  "grading",
  { agents: { solver }, task: taskOf<Sum>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.solver({ question: task.question });
    if (text === "fail") throw new Error("no answer");
    reward(Number(text));
    return text;
  },
);

/** [team][task] what its episodes answer, one after the other. */
type Answers = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
const evaluated = (answers: Answers, over: Partial<TrainOptions<Sum>> = {}) => {
  const spec = (team: string) => {
    const asked = new Map<string, number>();
    return scriptedPolicy({
      answer: (prompt) => {
        const place = asked.get(prompt) ?? 0;
        asked.set(prompt, place + 1);
        return answers[team]![prompt]![place]!;
      },
    });
  };
  const names = Object.keys(answers);
  return evaluatePolicies<Sum>(
    {
      workflow: grading,
      tasks,
      evaluate: tasks,
      policies: Object.fromEntries(names.map((name) => [name, spec(name)])),
      teams: Object.fromEntries(names.map((name) => [name, { solver: name }])),
      method: grpo(),
      steps: 1,
      evaluation: { samples: 2, passAt: [1, 2] },
      ...over,
    },
    { reporter: silentReporter },
  );
};
const fails = ["fail", "fail"];

test("each team has its metrics and pass@k, and the mean is that of the teams", async () => {
  const result = await evaluated({
    a: { one: ["1", "0"], two: ["0", "0"], three: ["1", "1"] },
    b: { one: ["1", "1"], two: ["1", "0"], three: ["1", "1"] },
  });
  expect(result).toMatchObject({ n: 3, samples: 2, failed: 0 });
  expect(result.values[0]).toEqual({
    ...{ reward: 0.75, "pass@1": 0.75, "pass@2": 1 },
    ...{ "reward.a": 0.5, "pass@1.a": 0.5, "pass@2.a": 1 },
    ...{ "reward.b": 1, "pass@1.b": 1, "pass@2.b": 1 },
  });
  expect(result.means).toMatchObject({
    "reward.a": 0.5,
    "reward.b": 5 / 6,
    "pass@2.a": 2 / 3,
    "pass@2.b": 1,
  });
  expect(result.means.reward).toBeCloseTo(2 / 3, 12);
  expect(Object.keys(result.intervals).sort()).toEqual(Object.keys(result.means).sort());
  // The first of all metrics is what a progress line shows.
  expect(Object.keys(result.means)[0]).toBe("reward");
  const places = result.trajectories.map(({ identity, calls }) => [identity.sample, calls[0]!.policy]);
  expect(places.slice(0, 2)).toEqual([
    [0, "a"],
    [1, "a"],
  ]);
  expect(places.slice(6, 8)).toEqual([
    [2, "b"],
    [3, "b"],
  ]);
  expect(new Set(result.trajectories.map(({ id }) => id)).size).toBe(12);
});

test("a team without a complete episode has no metrics, and there is no mean of teams", async () => {
  for (const lost of ["a", "b"] as const) {
    const kept = lost === "a" ? "b" : "a";
    const fine = { one: ["1", "1"], two: ["0", "0"], three: ["1", "1"] };
    const none = { one: fails, two: fails, three: fails };
    const result = await evaluated({ a: lost === "a" ? none : fine, b: lost === "b" ? none : fine });
    expect(result).toMatchObject({ n: 3, failed: 6 });
    expect(Object.keys(result.means).sort()).toEqual([`pass@1.${kept}`, `pass@2.${kept}`, `reward.${kept}`]);
    expect(result.means[`reward.${kept}`]).toBeCloseTo(2 / 3, 12);
    expect(describeChange(result, undefined)).toMatch(
      /^held-out reward\.[ab] 0\.667 \[.*n = 3 .*\(6 failed\)$/,
    );
  }
});

test("a task that one team failed counts for the others alone; one that all failed does not count", async () => {
  const result = await evaluated({
    a: { one: fails, two: ["1", "1"], three: fails },
    b: { one: ["1", "1"], two: ["0", "fail"], three: fails },
  });
  expect(result).toMatchObject({ n: 2, failed: 7 });
  expect(result.values).toEqual([
    { "reward.b": 1, "pass@1.b": 1, "pass@2.b": 1 },
    // With one complete episode there is no pass@2 of b, and none of the teams.
    { reward: 0.5, "pass@1": 0.5, "reward.a": 1, "pass@1.a": 1, "pass@2.a": 1, "reward.b": 0, "pass@1.b": 0 },
    undefined,
  ]);
  expect(result.means).toMatchObject({ reward: 0.5, "reward.a": 1, "reward.b": 0.5, "pass@2.b": 1 });
});

test("a comparison of runs is team by team, over the tasks that both have", async () => {
  const fine = { one: ["1"], two: ["1"], three: ["1"] };
  const over = { evaluation: {} };
  const before = await evaluated({ a: { ...fine, one: ["fail"] }, b: { ...fine, two: ["0"] } }, over);
  const after = await evaluated({ a: { ...fine, two: ["0"] }, b: fine }, over);
  const change = compare(before, after, 0);
  expect(Object.keys(change).sort()).toEqual(["reward", "reward.a", "reward.b"]);
  expect(change["reward.a"]!.mean).toBeCloseTo(-0.5, 12);
  expect(change["reward.b"]!.mean).toBeCloseTo(1 / 3, 12);
  // "one" has no mean of teams before.
  expect(change.reward!.mean).toBeCloseTo(0, 12);
});
