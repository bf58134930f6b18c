/**
 * @file How questions are worded. Training and test have different frames, and two-hop questions of the test join
 * pairs of relations that training never joins; the words themselves are shared.
 * Slots: {n} an attribute's noun, {x} and {y} a country's name or description, {v} a value, {be} is/are, {more} larger/smaller.
 */

import type { Attribute } from "./world.ts";

export type Split = "train" | "test";
export type Asked = Exclude<Attribute, "borders">;
/** Attributes whose value names one country. */
export type Inverse = "capital" | "highestPoint" | "code" | "currency";
export type Compared = "population" | "area";

export const nouns: Readonly<Record<Asked, string>> = {
  capital: "capital",
  currency: "currency",
  highestPoint: "highest point",
  height: "height of the highest point",
  population: "population",
  area: "area",
  languages: "languages",
  region: "region",
  code: "internet code",
};

export const asked = Object.keys(nouns) as readonly Asked[];
export const inverses: readonly Inverse[] = ["capital", "highestPoint", "code", "currency"];

export interface Frames {
  /** Asks for a fact of {x}. */
  readonly attribute: readonly string[];
  /** Asks for a fact of {x} in words of its own. */
  readonly particular: Readonly<Partial<Record<Asked, readonly string[]>>>;
  /** Describes a country by one of its facts. */
  readonly description: readonly string[];
  /** Asks which country has a fact. */
  readonly inverse: readonly string[];
  /** Asks which of two countries has more or less. */
  readonly comparison: readonly string[];
  /** Asks for the one common neighbour. */
  readonly between: readonly string[];
  /** Describes the only neighbour of {x}. */
  readonly neighbour: readonly string[];
}

export const frames: Readonly<Record<Split, Frames>> = {
  train: {
    attribute: [
      "What {be} the {n} of {x}?",
      "Name the {n} of {x}.",
      "Tell me the {n} of {x}.",
      "Which {n} does {x} have?",
      "I need the {n} of {x}.",
      "Do you know the {n} of {x}?",
      "The {n} of {x}?",
      "Give the {n} that {x} has.",
      "Please find the {n} of {x}.",
      "For {x}, tell me the {n}.",
      "About {x}: what {be} the {n}?",
      "{x} has what {n}?",
    ],
    particular: {
      capital: ["Which city is the capital of {x}?", "What is the capital city of {x}?"],
      currency: ["With which currency do people pay in {x}?"],
      population: ["How many people live in {x}?", "How large is the population of {x}?"],
      area: ["How many square kilometres of area has {x}?"],
      languages: ["Which languages do people speak in {x}?", "Which languages are heard in {x}?"],
      region: ["In which region is {x}?", "Where is {x}, in which region?"],
      height: ["How high is the highest point of {x}?", "How many metres high is the highest point of {x}?"],
      highestPoint: ["Where is the highest point of {x}?"],
      code: ["Which internet code belongs to {x}?"],
    },
    description: [
      "the country whose {n} is {v}",
      "the country with the {n} {v}",
      "the country that has {v} as its {n}",
      "the place whose {n} is {v}",
      "the country that has the {n} {v}",
      "the one country with {v} as {n}",
    ],
    inverse: [
      "Which country has the {n} {v}?",
      "Which country has {v} as its {n}?",
      "{v} is the {n} of which country?",
      "Name the country whose {n} is {v}.",
      "What is the country with the {n} {v}?",
      "Tell me which country has {v} as {n}.",
      "Find the country that has the {n} {v}.",
      "To which country belongs the {n} {v}?",
    ],
    comparison: [
      "Which has the {more} {n}, {x} or {y}?",
      "Which one has the {more} {n}: {x} or {y}?",
      "Between {x} and {y}, which has the {more} {n}?",
      "Tell me which has the {more} {n}, {x} or {y}.",
      "Who has the {more} {n}, {x} or {y}?",
      "Name the one with the {more} {n}: {x} or {y}.",
      "Take {x} and {y}. Which of them has the {more} {n}?",
    ],
    between: [
      "Which country borders both {x} and {y}?",
      "Which country has borders with both {x} and {y}?",
      "Name the country that borders {x} and {y}.",
      "Tell me the country that borders both {x} and {y}.",
      "{x} and {y} both have borders with which country?",
      "What is the country with borders to {x} and {y}?",
    ],
    neighbour: [
      "the only country that borders {x}",
      "the one country with borders to {x}",
      "the country that alone borders {x}",
      "the only country that has borders with {x}",
    ],
  },
  test: {
    attribute: [
      "About {x}: name the {n}.",
      "For {x}, give the {n}.",
      "Please tell me which {n} {x} has.",
      "I need to know what {be} the {n} of {x}.",
    ],
    particular: {
      capital: ["Which is the capital city that {x} has?"],
      population: ["Please tell me how many people live in {x}."],
      languages: ["What languages do people in {x} speak?"],
      height: ["What height in metres has the highest point of {x}?"],
    },
    description: [
      "the place that has {v} as its {n}",
      "the one country that has the {n} {v}",
      "the place with the {n} {v}",
    ],
    inverse: [
      "Please name the country with the {n} {v}.",
      "What country has {v} as its {n}?",
      "Do you know which country has the {n} {v}?",
    ],
    comparison: [
      "Of {x} and {y}, which has the {more} {n}?",
      "{x} or {y}: which has the {more} {n}?",
      "Which of {x} and {y} has the {more} {n}?",
    ],
    between: [
      "Please name the country that has borders with both {x} and {y}.",
      "Which one country borders {x} and also {y}?",
    ],
    neighbour: ["the one country that borders {x}", "the country that is alone in having borders with {x}"],
  },
};

/** Pairs (fact that is asked, fact that describes) which only the test joins. */
const testPairs: ReadonlySet<string> = new Set([
  "capital/highestPoint",
  "capital/currency",
  "currency/highestPoint",
  "currency/code",
  "highestPoint/capital",
  "population/capital",
  "population/code",
  "languages/highestPoint",
  "area/currency",
  "region/capital",
  "code/highestPoint",
  "height/code",
  "languages/capital",
]);

/** Which split a two-hop relation belongs to. */
export const pairSplit = (outer: Asked, inner: Inverse): Split =>
  testPairs.has(`${outer}/${inner}`) ? "test" : "train";

/** Fills the slots of a frame. */
export function fill(frame: string, slots: Readonly<Record<string, string>>): string {
  const text = frame.replace(/\{(\w+)\}/g, (_, slot: string) => {
    const value = slots[slot];
    if (value === undefined) throw new RangeError(`Nothing fills {${slot}} in "${frame}".`);
    return value;
  });
  return text[0]!.toUpperCase() + text.slice(1);
}
