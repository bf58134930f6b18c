/**
 * @file A lead that decides while it runs how many sub-agents it needs: its plan has a line for each, and each line becomes
 * a child workflow that searches and reads. The lead is the atlas planner and answerer, a sub-agent the atlas reader.
 */

import { agent, type EvaluatedEpisode, exactMatch, taskOf, tokenF1, workflow } from "troupe";
import {
  answererPrompt,
  type Note,
  parsePlan,
  plannerPrompt,
  readerPrompt,
  searchWorld,
  withResults,
} from "../atlas/prompts.ts";
import { trainingWorld, trueWorld } from "../atlas/world.ts";
import { mostChildren, type ResearchTask } from "./tasks.ts";

const planner = agent("planner", { prompt: plannerPrompt, maxTokens: 56, parse: parsePlan });
const answerer = agent("answerer", { prompt: answererPrompt, maxTokens: 32 });
const reader = agent("reader", { prompt: readerPrompt, maxTokens: 40 });

export interface Errand {
  readonly query: string;
  readonly world: ResearchTask["world"];
}

const indices = { train: searchWorld(trainingWorld()), test: searchWorld(trueWorld()) };
const search = ({ query, world }: Errand) =>
  indices[world](query).map(({ title, text }) => ({ title, text }));

/** One sub-agent: a search, and a note of what it found. */
export const research = workflow(
  "research",
  { agents: { reader }, tools: { search }, task: taskOf<Errand>() },
  async ({ task, agents, tools }) => {
    const passages = await tools.search(task);
    return (await agents.reader({ query: task.query, passages })).text.trim();
  },
);

/** Lines that refer to earlier ones (`#1`) wait for them; the others are looked up at once. */
export const lead = workflow(
  "lead",
  { agents: { planner, answerer }, children: [research], task: taskOf<ResearchTask>() },
  async ({ task, agents, spawn }) => {
    const plan = await agents.planner({ question: task.question });
    const notes: Promise<Note>[] = [];
    for (const line of plan.parsed.slice(0, mostChildren)) {
      const earlier = /#\d/.test(line) ? [...notes] : [];
      const note = async (): Promise<Note> => {
        const query = withResults(
          line,
          (await Promise.all(earlier)).map(({ found }) => found),
        );
        return { query, found: await spawn(research, { query, world: task.world }) };
      };
      notes.push(note());
    }
    const reply = await agents.answerer({ question: task.question, notes: await Promise.all(notes) });
    return reply.text.trim();
  },
);

type Finished = EvaluatedEpisode<ResearchTask>;

/** How a finished episode is scored in evaluation. */
export const metrics = {
  f1: ({ result, task }: Finished) => tokenF1(String(result), task.answer),
  em: ({ result, task }: Finished) => exactMatch(String(result), task.answer),
  children: ({ trajectory }: Finished) => trajectory.children.length,
};
