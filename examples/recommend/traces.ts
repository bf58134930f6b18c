/**
 * @file Supervised examples for pretraining, on worlds that never were: what a crowd of mixed habits writes as aligner and
 * as recommender, and drills in looking up a name in a list. Habits are drawn without regard to success: what pays is left
 * to be found by reinforcement learning.
 */

import { type Stream, stream } from "troupe";
import { type Triple, tripleText } from "troupe/tools";
import { type Land, practiceLands } from "./lands.ts";
import { alignerPrompt, noHint, recommenderPrompt } from "./prompts.ts";
import { retrieveFrom } from "./retrieve.ts";
import { type Expert, experts, letters, type Request, Requester } from "./tasks.ts";

export interface Trace {
  readonly prompt: string;
  readonly completion: string;
}

export const habits = {
  /** The aligner names a land that was not visited and what it has; copies the first fact; or writes the value alone. */
  aligner: { name: 0.35, copy: 0.45, value: 0.2 },
  /** How often the recommender chooses at random, whatever it read. */
  careless: 0.15,
  /** How often the recommender follows the hint where the wish itself names a candidate too. */
  followsHint: 0.5,
  /** How often the evidence is that of the expert which the request needs; otherwise any expert's. */
  rightExpert: 0.6,
} as const;

export type AlignerHabit = keyof typeof habits.aligner;

/** The hint that an aligner of this habit writes. `triples` is not empty. */
export function writeHint(habit: AlignerHabit, request: Request, triples: readonly Triple[]): string {
  const { visited, fact } = request;
  const first = triples[0]!;
  const meant = (triple: Triple) => triple.relation === fact?.relation && triple.object === fact.value;
  const fresh = triples.filter(({ subject }) => !visited.includes(subject));
  const read = fresh.find(meant) ?? fresh[0];
  if (habit === "copy" || (habit === "name" && read === undefined)) return tripleText(first);
  if (habit === "name") return tripleText(read!);
  const value = triples.find(meant) ?? first;
  return `${value.relation} ${value.object}`;
}

/** Which candidate a careful recommender chooses; undefined if nothing that it read names one. */
export function readChoice(request: Request, hint: string, random: Stream): number | undefined {
  const named = (text: string) => {
    const found = request.candidates.findIndex((name) => text === name || text.startsWith(`${name} `));
    return found === -1 ? undefined : found;
  };
  const byHint = named(hint);
  const byWish = request.need === "none" ? request.place : undefined;
  if (byHint === undefined || byWish === undefined) return byHint ?? byWish;
  return random.uniform() < habits.followsHint ? byHint : byWish;
}

function drill(request: Request, random: Stream): Trace {
  const order = random.shuffled(letters.map((_, place) => place)).slice(0, 10);
  const line = (place: number) => `${request.candidates[place]}=${letters[place]}`;
  const prompt = `${request.candidates.map((_, place) => `${line(place)}\n`).join("")}Again:`;
  return { prompt, completion: ` ${order.map(line).join("; ")}` };
}

function drawHabit(random: Stream): AlignerHabit {
  const { name, copy } = habits.aligner;
  const draw = random.uniform();
  return draw < name ? "name" : draw < name + copy ? "copy" : "value";
}

/** One drill, one hint and one choice about a request. */
function* workThrough(request: Request, landOf: ReadonlyMap<string, Land>, random: Stream): Generator<Trace> {
  const right = random.uniform() < habits.rightExpert;
  const expert: Expert = right ? request.need : random.pick(experts);
  const triples = retrieveFrom(landOf, { ...request, expert });
  let hint = noHint;
  if (triples.length > 0) {
    hint = writeHint(drawHabit(random), request, triples);
    yield { prompt: alignerPrompt({ ...request, triples }), completion: ` ${hint}` };
  }
  const careless = random.uniform() < habits.careless;
  const choice = (careless ? undefined : readChoice(request, hint, random)) ?? random.integer(letters.length);
  yield { prompt: recommenderPrompt({ ...request, hint }), completion: letters[choice]! };
  if (random.uniform() < 0.5) yield drill(request, random);
}

const requestsPerWorld = 24;

/** The endless stream of pretraining examples: a fresh world, some requests, the next world. */
export function* traceStream(seed: number): Generator<Trace, never> {
  for (let place = 0; ; place++) {
    const random = stream("recommend", "pretrain", seed, place);
    const lands = practiceLands(random);
    const landOf = new Map(lands.map((land) => [land.name, land]));
    const requester = new Requester(lands);
    for (let i = 0; i < requestsPerWorld; i++) {
      const request = requester.request(experts[i % experts.length]!, random);
      if (request !== undefined) yield* workThrough(request, landOf, random);
    }
  }
}
