/** @file The team: a planner that writes searches, a reader that takes notes, an answerer. All three share one policy. */

import { exactMatch, tokenF1 } from "../../src/rewards/text-match.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import {
  answererPrompt,
  type Note,
  parsePlan,
  plannerPrompt,
  readerPrompt,
  searchWorld,
  withResults,
} from "./prompts.ts";
import type { AtlasTask } from "./tasks.ts";
import { trainingWorld, trueWorld } from "./world.ts";

export const planner = agent("planner", { prompt: plannerPrompt, maxTokens: 56, parse: parsePlan });
export const reader = agent("reader", { prompt: readerPrompt, maxTokens: 40 });
export const answerer = agent("answerer", { prompt: answererPrompt, maxTokens: 32 });

const indices = { train: searchWorld(trainingWorld()), test: searchWorld(trueWorld()) };

/** Full-text search over the articles of a world. */
const search = ({ query, world }: { readonly query: string; readonly world: AtlasTask["world"] }) =>
  indices[world](query).map(({ title, text }) => ({ title, text }));

export const atlas = workflow(
  "atlas",
  { agents: { planner, reader, answerer }, tools: { search }, task: taskOf<AtlasTask>() },
  async ({ task, agents, tools, reward }) => {
    const plan = await agents.planner({ question: task.question });
    const notes: Note[] = [];
    for (const template of plan.parsed) {
      const query = withResults(
        template,
        notes.map((note) => note.found),
      );
      const passages = await tools.search({ query, world: task.world });
      const reply = await agents.reader({ query, passages });
      notes.push({ query, found: reply.text.trim() });
    }
    const reply = await agents.answerer({ question: task.question, notes });
    const answer = reply.text.trim();
    reward(tokenF1(answer, task.answer));
    return answer;
  },
);

/** How a finished episode is scored in evaluation. */
export const metrics = {
  f1: (answer: string, task: AtlasTask) => tokenF1(answer, task.answer),
  em: (answer: string, task: AtlasTask) => exactMatch(answer, task.answer),
};
