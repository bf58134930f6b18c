/** @file A team of two small enough to learn in a second: one names a hint for a word, the other turns it into the answer. */

import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

export interface ToyTask {
  readonly word: string;
  readonly answer: string;
}

export const words = ["sun", "sky", "leaf", "yellow", "blue", "green", "hint:", "answer:"];

export const toyTasks: readonly ToyTask[] = [
  { word: "sun", answer: "yellow" },
  { word: "sky", answer: "blue" },
  { word: "leaf", answer: "green" },
];

const planner = agent("planner", { prompt: (v: { word: string }) => `${v.word} hint:`, maxTokens: 1 });
const answerer = agent("answerer", { prompt: (v: { hint: string }) => `${v.hint} answer:`, maxTokens: 1 });

/** The hint carries no reward of its own: the planner must learn from the answerer's success. */
export const toyTeam = workflow(
  "toy",
  { agents: { planner, answerer }, task: taskOf<ToyTask>() },
  async ({ task, agents, reward }) => {
    const hint = await agents.planner({ word: task.word });
    const reply = await agents.answerer({ hint: hint.text });
    reward(reply.text === task.answer ? 1 : 0, { name: "correct" });
    return reply.text;
  },
);
