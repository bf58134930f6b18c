/** @file A guesser that may try again: for search trees whose nodes are whole attempts. */

import { goOn } from "../../src/search/episodes.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { words as toyWords } from "./toy-team.ts";

export interface RetryTask {
  readonly word: string;
  readonly answer: string;
  readonly attempts: number;
}

export const words = [...toyWords, "first:", "again:"];

export const retryTasks: readonly RetryTask[] = [
  { word: "sun", answer: "yellow", attempts: 1 },
  { word: "sky", answer: "blue", attempts: 1 },
  { word: "leaf", answer: "green", attempts: 1 },
];

const guesser = agent("guesser", {
  prompt: ({ word, before }: { word: string; before: string | undefined }) =>
    before === undefined ? `${word} first:` : `${before} ${word} again:`,
  maxTokens: 1,
});

/** Is worth what its last attempt is worth. */
export const retry = workflow(
  "retry",
  { agents: { guesser }, task: taskOf<RetryTask>() },
  async ({ task, agents, reward }) => {
    let text: string | undefined;
    for (let attempt = 0; attempt < task.attempts; attempt++)
      ({ text } = await agents.guesser({ word: task.word, before: text }));
    reward(text === task.answer ? 1 : 0, { name: "correct" });
    return text;
  },
);

export const more = goOn((task: RetryTask) => ({ ...task, attempts: task.attempts + 1 }));
