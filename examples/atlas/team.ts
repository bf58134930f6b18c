/** @file The team: a planner that writes searches, a reader that takes notes, an answerer. All three share one policy. */

import { agent, type EvaluatedEpisode, exactMatch, taskOf, tokenF1, workflow } from "troupe";
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

type Finished = EvaluatedEpisode<AtlasTask>;

/** How a finished episode is scored in evaluation. */
export const metrics = {
  f1: ({ result, task }: Finished) => tokenF1(String(result), task.answer),
  em: ({ result, task }: Finished) => exactMatch(String(result), task.answer),
};
