/**
 * @file What the agents read, as plain functions: the workflow and the supervised traces use exactly the same text.
 * Prompts are raw text and short, so that a model below a million parameters can follow.
 */

import type { Triple } from "troupe/tools";
import { letters } from "./tasks.ts";

export interface Wish {
  readonly visited: readonly string[];
  readonly wish: string;
}

export const selectorPrompt = ({ visited, wish }: Wish): string =>
  `Visited: ${visited.join(", ")}\nWish: ${wish}`;

/** A triple as a fact: what it is about comes last, where the recommender looks. */
export const factText = ({ subject, relation, object }: Triple): string => `${relation} ${object} ${subject}`;

export const alignerPrompt = (given: Wish & { readonly triples: readonly Triple[] }): string =>
  `${selectorPrompt(given)}\nFacts: ${given.triples.map(factText).join("; ")}\nHint:`;

/** "NorwayA": the starter's tokenizer cuts before the letter, which so follows the name without anything between. */
export const listed = (name: string, letter: string): string => `${name}${letter}`;

/** The prompt ends with what is asked for, the hint or else the wish, so that the choice is a look-up of its last words. */
export const recommenderPrompt = ({
  candidates,
  hint,
  ...wish
}: Wish & { readonly candidates: readonly string[]; readonly hint: string | undefined }): string =>
  `${candidates.map((name, place) => `${listed(name, letters[place]!)}\n`).join("")}${selectorPrompt(wish)}${
    hint === undefined ? "" : `\nHint: ${hint}`
  }`;
