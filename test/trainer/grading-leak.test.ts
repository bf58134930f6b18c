import { describe, expect, test } from "vitest";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { gradingLeaks, refuseGradingLeaks } from "../../src/trainer/grading-leak.ts";
import { agent } from "../../src/workflow/agent.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface CodeTask {
  readonly question: string;
  readonly answer: string;
  readonly tests: readonly string[];
}

const task: CodeTask = {
  question: "Write a function f that adds one.",
  answer: "def f(x): return x + 1",
  tests: ["assert f(1) == 2", "assert f(41) == 42"],
};

type Ask = (prompt: string) => Promise<{ readonly text: string }>;

/** An episode whose prompts are what `body` asks; the agent answers from `answers`, in order. */
async function episode(
  body: (task: CodeTask, ask: Ask, check: (input: object) => Promise<unknown>) => Promise<unknown>,
  { answers = [], of = task }: { readonly answers?: readonly string[]; readonly of?: CodeTask } = {},
): Promise<Trajectory> {
  const coder = agent("coder", { prompt: (v: { prompt: string }) => v.prompt });
  const check = ({ tests, code }: { readonly tests?: readonly string[]; readonly code: string }) =>
    tests === undefined ? `manual: ${task.answer}` : `${code} fails ${tests[1]}`;
  const team = workflow(
    "code",
    { agents: { coder }, tools: { check } },
    async ({ task: given, agents, tools }) =>
      body(
        given as CodeTask,
        (prompt) => agents.coder({ prompt }),
        (input) => tools.check(input as { readonly code: string }),
      ),
  );
  let next = 0;
  const policy = await scriptedPolicy({ answer: () => answers[next++] ?? "" }).open({ name: "p", seed: 0 });
  return runEpisode({
    workflow: team,
    task: of,
    policies: new Map([["p", policy]]),
    assignment: new Map([["coder", "p"]]),
    stage: "evaluate",
    identity: { purpose: "evaluate", step: 0, group: 0, task: 0, sample: 0 },
    seed: 0,
  });
}

const fields = ["answer", "tests"];
const leaksOf = async (...given: Parameters<typeof episode>) =>
  gradingLeaks([await episode(...given)], fields);

describe("a leak is", () => {
  test("an answer or a test in a prompt, whatever the white space", async () => {
    expect(await leaksOf((given, ask) => ask(`${given.question} Hint: def f(x):\n  return x + 1`))).toEqual([
      { episode: "evaluate/000000/000/00", agent: "coder", call: 0, field: "answer", text: task.answer },
    ]);
    const [leak] = await leaksOf(async (given, ask) => {
      await ask(given.question);
      await ask(`Make this pass: ${given.tests[1]}`);
    });
    expect(leak).toMatchObject({ call: 1, field: "tests[1]" });
  });

  test("a test that a tool was given and passes on", async () => {
    const [leak] = await leaksOf(async (given, ask, check) => {
      const { text } = await ask(given.question);
      const report = await check({ code: text, tests: given.tests });
      await ask(`Correct it: ${String(report)}`);
    });
    expect(leak).toMatchObject({ call: 1, field: "tests[1]" });
  });

  test("what only a later effect produced", async () => {
    const leaks = await leaksOf(
      async (given, ask) => {
        await ask(given.answer);
        await ask("again");
      },
      { answers: [task.answer] },
    );
    expect(leaks).toHaveLength(1);
  });
});

describe("no leak is", () => {
  test("what a model wrote, or a tool found by itself", async () => {
    const body = async (given: CodeTask, ask: Ask) => {
      const { text } = await ask(given.question);
      await ask(`Review: ${text}`);
    };
    expect(await leaksOf(body, { answers: [`Here: ${task.answer}.`] })).toEqual([]);
    expect(
      await leaksOf(async (_, ask, check) => {
        await ask(`Manual: ${String(await check({ code: "f" }))}`);
      }),
    ).toEqual([]);
  });

  test("what the open part of the task contains", async () => {
    const of = { ...task, question: `Which is right: ${task.answer}, or x + 2?` };
    expect(await leaksOf((given, ask) => ask(given.question), { of })).toEqual([]);
  });

  test("a short text that occurs by chance", async () => {
    const of = { ...task, answer: "in 7 ms" };
    const body = (given: CodeTask, ask: Ask) => ask(`${given.question} It must run in 7 ms.`);
    expect(await leaksOf(body, { of })).toEqual([]);
    expect(await leaksOf(body, { of: { ...task, answer: "in 7 ms." } })).toHaveLength(1);
  });

  test("a word of the prompt's own wording", async () => {
    const body = (given: CodeTask, ask: Ask) => ask(`Answer with a function. ${given.question}`);
    const first = await episode(body, { of: { ...task, question: "What is f?", answer: "function" } });
    expect(gradingLeaks([first], fields)).toHaveLength(1);
    const second = await episode(body, { of: { ...task, question: "What is g?", answer: "procedure" } });
    expect(gradingLeaks([first, second], fields)).toEqual([]);
  });

  test("anything, where no field is named", async () => {
    const leaking = await episode((given, ask) => ask(given.answer));
    expect(gradingLeaks([leaking], [])).toEqual([]);
    expect(gradingLeaks([leaking], ["solution"])).toEqual([]);
  });
});

test("the error names agent, call, episode and field", async () => {
  const leaking = await episode((given, ask) => ask(given.answer));
  expect(() => refuseGradingLeaks([leaking], fields)).toThrow(
    /agent "coder" \(call 0 of evaluation episode evaluate\/000000\/000\/00\) contains the task's grading field answer: "def f\(x\): return x \+ 1".*1 of 1 episodes/,
  );
});
