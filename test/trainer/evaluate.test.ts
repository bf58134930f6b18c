import { describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { checkConfig, type TrainOptions } from "../../src/trainer/config.ts";
import { episodeRunner } from "../../src/trainer/episode-runner.ts";
import { compare, evaluate } from "../../src/trainer/evaluate.ts";
import { evaluatePolicies } from "../../src/trainer/evaluate-run.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface Sum {
  readonly question: string;
  readonly answer: string;
}

const tasks: readonly Sum[] = [
  { question: "one", answer: "1" },
  { question: "two", answer: "2" },
  { question: "three", answer: "3" },
];

const solver = agent("solver", {
  prompt: (v: { question: string }) => v.question,
  sampling: { train: { temperature: 0.5 } },
});

/** The reply is the episode's number within its task, so the test decides who succeeds. */
const counting = workflow(
  "counting",
  { agents: { solver }, task: taskOf<Sum>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.solver({ question: task.question });
    if (text === "fail") throw new Error("no answer");
    reward(text === task.answer ? 1 : 0);
    return text;
  },
);

function options(
  answer: (prompt: string, asked: number) => string,
  over: Partial<TrainOptions<Sum>> = {},
): TrainOptions<Sum> {
  const asked = new Map<string, number>();
  return {
    workflow: counting,
    tasks,
    evaluate: tasks,
    policies: {
      scripted: scriptedPolicy({
        answer: (prompt) => {
          const before = asked.get(prompt) ?? 0;
          asked.set(prompt, before + 1);
          return answer(prompt, before);
        },
      }),
    },
    method: grpo(),
    steps: 1,
    ...over,
  };
}

const quiet = { reporter: silentReporter };

describe("several episodes a task", () => {
  test("are averaged within their task; pass@k is the unbiased estimate", async () => {
    // "one" succeeds in 2 of 4, "two" in none, "three" in all.
    const answer = (prompt: string, asked: number) =>
      prompt === "one" ? (asked < 2 ? "1" : "x") : prompt === "two" ? "x" : "3";
    const result = await evaluatePolicies(
      options(answer, { evaluation: { samples: 4, passAt: [1, 2, 4] } }),
      quiet,
    );
    expect(result).toMatchObject({ n: 3, samples: 4, failed: 0 });
    expect(result.trajectories).toHaveLength(12);
    expect(result.values.map((value) => value?.reward)).toEqual([0.5, 0, 1]);
    expect(result.means.reward).toBeCloseTo(0.5, 12);
    expect(result.means["pass@1"]).toBeCloseTo(0.5, 12);
    // Task "one": 1 − C(2, 2) / C(4, 2) = 5 / 6.
    expect(result.means["pass@2"]).toBeCloseTo((5 / 6 + 0 + 1) / 3, 12);
    expect(result.means["pass@4"]).toBeCloseTo(2 / 3, 12);
    const [low, high] = result.intervals["pass@2"]!;
    expect(low).toBeLessThan(result.means["pass@2"]!);
    expect(high).toBeGreaterThan(result.means["pass@2"]!);
  });

  test("a failed episode counts neither as a success nor as a failure at the task", async () => {
    // Of "one", 2 of 4 fail and 1 of the other 2 succeeds; of "two" all fail.
    const answer = (prompt: string, asked: number) =>
      prompt === "one" ? (["fail", "1", "fail", "x"][asked] ?? "x") : prompt === "two" ? "fail" : "3";
    const result = await evaluatePolicies(
      options(answer, { evaluation: { samples: 4, passAt: [1, 4] } }),
      quiet,
    );
    expect(result).toMatchObject({ n: 2, failed: 6 });
    expect(result.values[0]).toEqual({ reward: 0.5, "pass@1": 0.5 });
    expect(result.values[1]).toBeUndefined();
    // Only "three" has four complete episodes.
    expect(result.means["pass@4"]).toBe(1);
    expect(result.means["pass@1"]).toBeCloseTo(0.75, 12);
  });

  test("`success` says what pass@k counts; what is no boolean fails the episode", async () => {
    const evaluation = { samples: 2, passAt: [2] };
    const own = await evaluatePolicies(
      options(() => "x", { evaluation: { ...evaluation, success: ({ result }) => result === "x" } }),
      quiet,
    );
    expect(own.means["pass@2"]).toBe(1);
    const success = (() => "yes") as unknown as () => boolean;
    const wrong = await evaluatePolicies(
      options(() => "x", { evaluation: { ...evaluation, success } }),
      quiet,
    );
    expect(wrong).toMatchObject({ n: 0, failed: 6 });
    expect(wrong.trajectories[0]!.failure?.message).toContain("`success` gave yes");
  });

  test("a metric that throws or is not finite is a failure, not a zero", async () => {
    const result = await evaluatePolicies(
      options((prompt) => prompt, {
        metrics: {
          odd: ({ result: text }) => {
            if (text === "one") throw new Error("broken");
            return text === "two" ? Number.NaN : 1;
          },
        },
      }),
      quiet,
    );
    expect(result).toMatchObject({ n: 1, failed: 2, means: { odd: 1 } });
    const [first, second] = result.trajectories;
    expect(first!.failure).toMatchObject({ boundary: "reward", code: "E_METRIC" });
    expect(second!.failure?.message).toContain('Metric "odd" is NaN');
  });
});

describe("decoding", () => {
  const temperatures = async (evaluation: TrainOptions<Sum>["evaluation"]) => {
    const { trajectories } = await evaluatePolicies(
      options(() => "x", evaluation === undefined ? {} : { evaluation }),
      quiet,
    );
    return trajectories[0]!.calls[0]!.sampling;
  };

  test("is each agent's own, greedy, as in training, or what is given", async () => {
    expect(await temperatures(undefined)).toEqual({ temperature: 0 });
    expect(await temperatures({ decoding: "sampled" })).toEqual({ temperature: 0.5 });
    expect(await temperatures({ decoding: "greedy" })).toEqual({ temperature: 0 });
    expect(await temperatures({ decoding: { temperature: 0.7, topP: 0.9 } })).toEqual({
      temperature: 0.7,
      topP: 0.9,
    });
  });

  test("episodes of a task that must be the same are warned of", async () => {
    const warnings: string[] = [];
    const reporter = { ...silentReporter, warn: (text: string) => warnings.push(text) };
    await evaluatePolicies(
      options(() => "x", { evaluation: { samples: 2 } }),
      { reporter },
    );
    expect(warnings.join()).toContain("all agents decode greedily");
    const sampled = { samples: 2, decoding: "sampled" } as const;
    await evaluatePolicies(
      options(() => "x", { evaluation: sampled }),
      { reporter },
    );
    expect(warnings).toHaveLength(1);
  });
});

test("the settings are checked before anything is opened", () => {
  const fault = (evaluation: object) => () => checkConfig({ ...options(() => "x"), evaluation });
  expect(fault({ samples: 2, passAt: [4] })).toThrow("pass@k needs at least k episodes a task");
  expect(fault({ samples: 0 })).toThrow("evaluation.samples");
  expect(fault({ decoding: "beam" })).toThrow('expected "greedy", "sampled"');
  expect(fault({ temperature: 1 })).toThrow("temperature");
});

test("a small evaluation takes one episode a task and no intervals", async () => {
  const settings = checkConfig(options(() => "1", { evaluation: { samples: 3, passAt: [3] } }));
  const policy = await settings.policies.scripted!.open({ name: "scripted", seed: 0 });
  const policies = new Map([["scripted", policy]]);
  const runner = episodeRunner({ settings, policies, reporter: silentReporter });
  const result = await evaluate(runner, tasks, { step: 1, purpose: "during", intervals: false });
  expect(result.trajectories).toHaveLength(3);
  expect(result.means).toEqual({ reward: 1 / 3 });
  expect(result.intervals).toEqual({});
});

test("a comparison is over the tasks that both have, metric by metric", () => {
  const before = { values: [{ a: 0, b: 1 }, undefined, { a: 0.5 }], means: { a: 0.25, b: 1 } };
  const after = {
    values: [
      { a: 1, b: 1 },
      { a: 1, b: 1 },
      { a: 0.5, b: 0 },
    ],
    means: { a: 0.8, b: 0.6 },
  };
  const change = compare(before, after, 0);
  expect(change.a!.mean).toBeCloseTo(0.5, 12);
  expect(change.b!.mean).toBe(0);
});

test("what cannot be evaluated is said", async () => {
  const { evaluate: _, ...without } = options(() => "x");
  await expect(evaluatePolicies(without, quiet)).rejects.toThrow("no tasks to evaluate on");
  await expect(
    evaluatePolicies(
      { ...options(() => "x"), policies: { t: tabularPolicy({ words: ["one"] }) } },
      {
        ...quiet,
        checkpoint: "/nowhere",
      },
    ),
  ).rejects.toMatchObject({ code: "E_RUN_CHECKPOINT" });
});
