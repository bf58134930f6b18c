/**
 * @file What the three agents read and write, as plain functions: the workflow and the supervised traces use exactly
 * the same text. Prompts are raw text (no chat template) and short, so that a model of a million parameters can follow.
 */

import { type Passage, SearchIndex } from "troupe/tools";
import { articles, type Sentence } from "./articles.ts";
import type { World } from "./world.ts";

/** Passages that one search returns. */
export const passagesPerSearch = 2;
/** Searches that one plan may hold; what goes beyond is not run. */
export const searchesPerPlan = 4;

export interface Note {
  readonly query: string;
  readonly found: string;
}

export const plannerPrompt = ({ question }: { readonly question: string }): string =>
  `Question: ${question}\nSearch:`;

export const readerPrompt = (variables: {
  readonly query: string;
  readonly passages: readonly Passage[];
}): string =>
  `Query: ${variables.query}\n${variables.passages.map(({ title, text }) => `${title}: ${text}\n`).join("")}Found:`;

export const answererPrompt = (variables: {
  readonly question: string;
  readonly notes: readonly Note[];
}): string =>
  `Question: ${variables.question}\n${variables.notes.map(({ query, found }) => `${query} = ${found}\n`).join("")}Answer:`;

/** The planner's output: queries divided by semicolons. */
export function parsePlan(text: string): readonly string[] {
  return text
    .split(";")
    .map((query) => query.trim())
    .filter((query) => query !== "")
    .slice(0, searchesPerPlan);
}

/** Puts what earlier searches found in the place of `#1`, `#2`, …; a reference to a later search stays as it is. */
export const withResults = (query: string, found: readonly string[]): string =>
  query.replace(/#(\d)/g, (reference, place: string) => found[Number(place) - 1] ?? reference);

/** Full-text search over the articles of a world. */
export function searchWorld(world: World): (query: string) => readonly Sentence[] {
  const index = new SearchIndex(articles(world), { titleWeight: 2, b: 0.2 });
  return (query) => index.search(query, passagesPerSearch).map(({ passage }) => passage);
}
