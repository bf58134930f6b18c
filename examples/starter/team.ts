/** @file The team: what each agent is asked, which tool they have, and what is rewarded. */

import { readFileSync } from "node:fs";
import { agent, taskOf, tokenF1, workflow } from "troupe";
import { type Passage, SearchIndex } from "troupe/tools";

export interface Task {
  readonly question: string;
  readonly answer: string;
}

interface Note {
  readonly query: string;
  readonly found: string;
}

const articles = readFileSync(new URL("articles.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Passage);
const index = new SearchIndex(articles, { titleWeight: 2, b: 0.2 });
const search = ({ query }: { readonly query: string }) =>
  index.search(query, 2).map(({ passage: { title, text } }) => ({ title, text }));

/** Writes searches, divided by semicolons; `#1` stands for what the first one found. */
const planner = agent("planner", {
  prompt: (v: { question: string }) => `Question: ${v.question}\nSearch:`,
  maxTokens: 56,
  parse: (text) =>
    text
      .split(";")
      .map((query) => query.trim())
      .filter((query) => query !== "")
      .slice(0, 4),
});

const reader = agent("reader", {
  prompt: (v: { query: string; passages: readonly Passage[] }) =>
    `Query: ${v.query}\n${v.passages.map(({ title, text }) => `${title}: ${text}\n`).join("")}Found:`,
  maxTokens: 40,
});

const answerer = agent("answerer", {
  prompt: (v: { question: string; notes: readonly Note[] }) =>
    `Question: ${v.question}\n${v.notes.map(({ query, found }) => `${query} = ${found}\n`).join("")}Answer:`,
  maxTokens: 32,
});

export const team = workflow(
  "starter",
  { agents: { planner, reader, answerer }, tools: { search }, task: taskOf<Task>() },
  async ({ task, agents, tools, reward }) => {
    const plan = await agents.planner({ question: task.question });
    const notes: Note[] = [];
    for (const step of plan.parsed) {
      const query = step.replace(
        /#(\d)/g,
        (asked, place: string) => notes[Number(place) - 1]?.found ?? asked,
      );
      const passages = await tools.search({ query });
      const reply = await agents.reader({ query, passages });
      notes.push({ query, found: reply.text.trim() });
    }
    const reply = await agents.answerer({ question: task.question, notes });
    const answer = reply.text.trim();
    reward(tokenF1(answer, task.answer));
    return answer;
  },
);
