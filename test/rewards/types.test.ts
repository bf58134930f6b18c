import { expect, it } from "vitest";
import { grpo } from "../../src/methods/index.ts";
import {
  costDiscount,
  format,
  gate,
  judge,
  needsOf,
  parsed,
  reward,
  sum,
  tokenF1,
  toolUses,
} from "../../src/rewards/index.ts";
import { scriptedPolicy, tabularPolicy } from "../../src/testing/index.ts";
import { trainConfig } from "../../src/trainer/index.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface Question {
  readonly question: string;
  readonly answer: string;
}

const planner = agent("planner", { prompt: (v: { question: string }) => v.question });
const atlas = workflow(
  "atlas",
  { agents: { planner }, task: taskOf<Question>() },
  async ({ task, agents }) => {
    const { text } = await agents.planner({ question: task.question });
    return text;
  },
);

it("the example of docs/rewards.md has types all the way", () => {
  const f1 = reward<Question>("f1_raw", ({ result, task }) => tokenF1(String(result), task.answer));
  const config = trainConfig({
    workflow: atlas,
    tasks: [{ question: "q", answer: "a" }],
    policies: {
      small: tabularPolicy({ words: ["a"] }),
      referee: scriptedPolicy({ answer: () => "Score: 5" }),
    },
    assign: { planner: "small" },
    rewards: sum({
      f1: costDiscount(
        gate(f1, [{ term: format("short", ({ result }) => String(result).length < 200), atLeast: 0 }]),
        { cost: toolUses("search"), rate: 0.05 },
      ),
      direct: ({ result, task }) => tokenF1(String(result), task.answer),
      format: [0.5, parsed("planner_format", { agents: ["planner"] })],
      clear: [
        0.2,
        judge("clear_raw", { policy: "referee", prompt: ({ task, result }) => `${task.question} ${result}` }),
      ],
      // @ts-expect-error the task has no such field
      typo: ({ task }) => task.anwser.length,
    }),
    method: grpo({ groupSize: 8 }),
    steps: 60,
  });
  expect(needsOf(config.rewards!)).toEqual({ policies: ["referee"], agents: ["planner"] });
});
