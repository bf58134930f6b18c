import { expectTypeOf, test } from "vitest";
import { z } from "zod";
import { jsonl } from "../../src/data/jsonl.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { trainConfig } from "../../src/trainer/config.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { tool } from "../../src/workflow/tool.ts";
import { workflow } from "../../src/workflow/workflow.ts";

const planner = agent("planner", {
  prompt: (v: { question: string }) => v.question,
  parse: (text) => text.split("\n"),
});
const greeter = agent("greeter", { prompt: () => "hello" });
const search = tool("search", { run: ({ query }: { query: string }) => [query.length] });

test("agents, tools and tasks are typed from their definitions", () => {
  workflow(
    "typed",
    {
      agents: { planner, greeter },
      tools: { search, plain: (s: string) => s },
      task: taskOf<{ question: string }>(),
    },
    async ({ task, agents, tools }) => {
      expectTypeOf(task).toEqualTypeOf<{ question: string }>();
      const plan = await agents.planner({ question: task.question });
      expectTypeOf(plan.parsed).toEqualTypeOf<string[]>();
      expectTypeOf((await agents.greeter()).parsed).toEqualTypeOf<string>();
      expectTypeOf(tools.search).parameter(0).toEqualTypeOf<{ query: string }>();
      expectTypeOf(await tools.search({ query: "x" })).toEqualTypeOf<number[]>();
      expectTypeOf(await tools.plain("x")).toEqualTypeOf<string>();
      // @ts-expect-error a variable of the prompt is missing
      void (() => agents.planner({}));
      // @ts-expect-error there is no such agent
      void (() => agents.planer({ question: "x" }));
      // @ts-expect-error the tool wants a query
      void (() => tools.search({ q: "x" }));
    },
  );
});

test("the task's type reaches the trainer, from a schema or from nothing", () => {
  const schema = z.object({ question: z.string(), answer: z.string() });
  const checked = workflow("checked", { agents: { planner }, task: schema }, async ({ task }) => task.answer);
  const base = { policies: { small: tabularPolicy({ words: [] }) }, method: grpo(), steps: 1 };
  trainConfig({
    ...base,
    workflow: checked,
    tasks: jsonl("train.jsonl"),
    metrics: {
      length: ({ task }) => {
        expectTypeOf(task).toEqualTypeOf<{ question: string; answer: string }>();
        return task.answer.length;
      },
    },
  });
  // @ts-expect-error tasks of another shape
  trainConfig({ ...base, workflow: checked, tasks: [{ q: "x" }] });
  const untyped = workflow(
    "untyped",
    { agents: { planner } },
    async ({ task, agents }) => (await agents.planner({ question: task.question })).text,
  );
  trainConfig({ ...base, workflow: untyped, tasks: [{ anything: 1 }] });
});
