/**
 * @file Supervised examples for pretraining: someone who knows the facts works through the workflow on a
 * counterfactual world, with the habits of a mixed crowd. Habits are drawn without regard to success: what pays is
 * left to be found by reinforcement learning (see README, "Where the room to improve comes from").
 */

import type { Stream } from "troupe";
import type { Sentence } from "./articles.ts";
import {
  answererPrompt,
  type Note,
  plannerPrompt,
  readerPrompt,
  searchesPerPlan,
  withResults,
} from "./prompts.ts";
import type { Goal, Question } from "./questions.ts";
import { attributeWords } from "./world.ts";

export interface Trace {
  readonly agent: "planner" | "reader" | "answerer";
  readonly prompt: string;
  readonly completion: string;
}

/** Shares of working habits; within each agent they add up to 1. */
export interface Habits {
  readonly planner: {
    /** One search with everything that the question names. */
    readonly hasty: number;
    /** One search for each hop, later ones built on what earlier ones found. */
    readonly stepwise: number;
    /** Stepwise after a hasty search. */
    readonly thorough: number;
  };
  readonly reader: {
    /** Writes down the value alone. */
    readonly value: number;
    /** Copies the sentence. */
    readonly sentence: number;
  };
  readonly answerer: {
    /** Says the answer and nothing else. */
    readonly exact: number;
    /** "The answer to the question is …" */
    readonly wordy: number;
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a search result was taken to say. */
interface Reading {
  readonly sentence: Sentence | undefined;
  /** What the goal asks for, as the reader understands the passages. */
  readonly value: string;
}

/** A key, with the probability of its share. */
export const drawShare = <T extends string>(shares: Readonly<Record<T, number>>, random: Stream): T => {
  const entries = Object.entries(shares) as [T, number][];
  let rest = random.uniform() * entries.reduce((sum, [, share]) => sum + share, 0);
  for (const [name, share] of entries) {
    rest -= share;
    if (rest < 0) return name;
  }
  return entries.at(-1)![0];
};

/** The words that a searcher types for a goal. */
export const queryFor = (goal: Goal): string =>
  goal.find === "value"
    ? `${attributeWords[goal.attribute]} of ${goal.subject}`
    : `${attributeWords[goal.attribute]} ${goal.value}`;

const nothing = "nothing";

/** Reads passages with a goal in mind; falls back on the first passage when none says what is wanted. */
function read(goal: Goal, passages: readonly Sentence[]): Reading {
  const first = passages[0];
  if (goal.find === "value") {
    const stating = passages.filter((sentence) => sentence.states.includes(goal.attribute));
    const sentence = stating.find(({ title }) => title === goal.subject) ?? stating[0];
    if (sentence) return { sentence, value: sentence.country.values[goal.attribute]! };
  } else {
    const sentence = passages.find(
      ({ states, country }) =>
        states.includes(goal.attribute) && country.values[goal.attribute] === goal.value,
    );
    if (sentence) return { sentence, value: sentence.title };
  }
  return { sentence: first, value: first?.title ?? nothing };
}

/** What a hasty search is after, seen from its result. */
function readHasty(question: Question, passages: readonly Sentence[]): Reading {
  const goal = question.plan[0]!;
  if (question.kind === "between") {
    const names = question.plan.flatMap((step) => (step.find === "value" ? [step.subject] : []));
    const sentence = passages.find(
      ({ states, country }) =>
        states.includes("borders") && names.every((name) => country.borders.includes(name)),
    );
    return { sentence: sentence ?? passages[0], value: (sentence ?? passages[0])?.title ?? nothing };
  }
  if (question.kind === "describedComparison")
    return { sentence: passages[0], value: passages[0]?.title ?? nothing };
  return read(goal, passages);
}

/** What a reader of the copied sentence can take from it: the title does not stand in it. */
function legible({ sentence, value }: Reading): string {
  return sentence && value === sentence.title ? sentence.country.values[sentence.states[0]!]! : value;
}

function chooseCompared(question: Question, readings: readonly Reading[]): string {
  const { attribute, more, names } = question.compared!;
  const [x, y] = names.map(
    (name) =>
      readings.find(({ sentence }) => sentence?.title === name && sentence.states.includes(attribute))
        ?.sentence,
  );
  if (!x || !y) return question.kind === "comparison" ? names[0] : (readings[0]?.value ?? nothing);
  return x.country[attribute] > y.country[attribute] === more ? x.title : y.title;
}

function chooseBetween(readings: readonly Reading[], hasty: Reading | undefined): string {
  const lists = readings.flatMap(({ sentence }) =>
    sentence?.states.includes("borders") ? [sentence.country.borders] : [],
  );
  const common = lists[0]?.find((name) => lists.length > 1 && lists.every((list) => list.includes(name)));
  return common ?? hasty?.value ?? lists[0]?.[0] ?? nothing;
}

/** The answer that the notes support. */
function conclude(question: Question, steps: readonly Reading[], hasty: Reading | undefined): string {
  if (question.compared) return chooseCompared(question, steps.length > 0 ? steps : hasty ? [hasty] : []);
  if (question.kind === "between") return chooseBetween(steps, hasty);
  return (steps.at(-1) ?? hasty)!.value;
}

/** Works through one question and returns what each agent read and wrote. */
export function workThrough(
  question: Question,
  search: (query: string) => readonly Sentence[],
  habits: Habits,
  random: Stream,
): readonly Trace[] {
  let planning = drawShare(habits.planner, random);
  if (planning === "thorough" && question.plan.length >= searchesPerPlan) planning = "stepwise";
  const offset = planning === "thorough" ? 1 : 0;
  const moved = (text: string) => text.replace(/^#(\d)$/, (_, place: string) => `#${Number(place) + offset}`);
  const steps: readonly Goal[] =
    planning === "hasty"
      ? []
      : question.plan.map((goal) =>
          goal.find === "value" ? { ...goal, subject: moved(goal.subject) } : goal,
        );
  const queries = [...(planning === "stepwise" ? [] : [question.keywords]), ...steps.map(queryFor)];
  const traces: Trace[] = [
    { agent: "planner", prompt: plannerPrompt(question), completion: ` ${queries.join("; ")}` },
  ];

  const found: string[] = [];
  const notes: Note[] = [];
  const readings: Reading[] = [];
  queries.forEach((template, place) => {
    const query = withResults(template, found);
    const passages = search(query);
    const goal = steps[place - offset];
    let reading: Reading;
    if (goal && (planning === "stepwise" || place > 0)) {
      const actual: Mutable<Goal> = { ...goal };
      if (actual.find === "value") actual.subject = withResults(actual.subject, found);
      reading = read(actual, passages);
    } else reading = readHasty(question, passages);
    const whole = drawShare(habits.reader, random) === "sentence" && reading.sentence !== undefined;
    const text = whole ? reading.sentence!.text : reading.value;
    traces.push({ agent: "reader", prompt: readerPrompt({ query, passages }), completion: ` ${text}` });
    found.push(text);
    notes.push({ query, found: text });
    readings.push(whole ? { ...reading, value: legible(reading) } : reading);
  });

  const stepReadings = planning === "hasty" ? [] : readings.slice(offset);
  const answer = conclude(question, stepReadings, planning === "stepwise" ? undefined : readings[0]);
  const wordy = drawShare(habits.answerer, random) === "wordy";
  traces.push({
    agent: "answerer",
    prompt: answererPrompt({ question: question.question, notes }),
    completion: wordy ? ` The answer to the question is ${answer}.` : ` ${answer}`,
  });
  return traces;
}
