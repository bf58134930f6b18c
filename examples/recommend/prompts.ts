/**
 * @file What the agents read, as plain functions: the workflow and the supervised traces use exactly the same text.
 * Prompts are raw text and short, so that a model below a million parameters can follow.
 */

import { type Triple, tripleText } from "troupe/tools";
import { letters } from "./tasks.ts";

export interface Wish {
  readonly visited: readonly string[];
  readonly wish: string;
}

export const selectorPrompt = ({ visited, wish }: Wish): string =>
  `Visited: ${visited.join(", ")}\nWish: ${wish}`;

export const alignerPrompt = (given: Wish & { readonly triples: readonly Triple[] }): string =>
  `${selectorPrompt(given)}\nFacts: ${given.triples.map(tripleText).join("; ")}\nHint:`;

/** What the recommender reads where there is no evidence. */
export const noHint = "none";

export const recommenderPrompt = ({
  candidates,
  hint,
  ...wish
}: Wish & { readonly candidates: readonly string[]; readonly hint: string }): string =>
  `${candidates.map((name, place) => `${name}=${letters[place]}\n`).join("")}${selectorPrompt(wish)}\nHint: ${hint}\nChoice=`;
