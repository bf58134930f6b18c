/**
 * @file Supervised examples for pretraining, on worlds that never were: what a crowd of mixed habits writes as aligner and
 * as recommender, and drills in looking up a name in a list. Habits are drawn without regard to success: what pays is left
 * to be found by reinforcement learning.
 */

import { type Stream, stream } from "troupe";
import type { Triple } from "troupe/tools";
import { type Land, practiceLands } from "./lands.ts";
import { alignerPrompt, factText, listed, recommenderPrompt } from "./prompts.ts";
import { retrieveFrom } from "./retrieve.ts";
import { type Expert, experts, letters, type Request, Requester } from "./tasks.ts";

export interface Trace {
  readonly prompt: string;
  readonly completion: string;
}

export const habits = {
  /** The aligner copies the fact about a land that was not visited; the first one; or the value alone. */
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
  if (habit === "copy" || (habit === "name" && read === undefined)) return factText(first);
  if (habit === "name") return factText(read!);
  const value = triples.find(meant) ?? first;
  return `${value.relation} ${value.object}`;
}

/** Which candidate a careful recommender chooses; undefined if nothing that it read names one. */
export function readChoice(request: Request, hint: string | undefined, random: Stream): number | undefined {
  const named = (text: string | undefined) => {
    const found = request.candidates.findIndex((name) => text?.endsWith(` ${name}`));
    return found === -1 ? undefined : found;
  };
  const byHint = named(hint);
  const byWish = request.need === "none" ? request.place : undefined;
  if (byHint === undefined || byWish === undefined) return byHint ?? byWish;
  return random.uniform() < habits.followsHint ? byHint : byWish;
}

/** Looking up names in a list of `size`, as often as a list of twenty would be: the skill that all choices rest on. */
function drill(names: readonly string[], size: number, random: Stream): Trace {
  const places = random.shuffled([...letters.keys()]).slice(0, size);
  const list = places
    .sort((left, right) => left - right)
    .map((place) => listed(names[place]!, letters[place]!));
  const again = Array.from({ length: Math.ceil(12 / size) }, () => random.shuffled(list)).flat();
  return {
    prompt: `${list.map((line) => `${line}\n`).join("")}Again:`,
    completion: ` ${again.slice(0, 12).join("; ")}`,
  };
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
  let hint: string | undefined;
  if (triples.length > 0) {
    hint = writeHint(drawHabit(random), request, triples);
    yield { prompt: alignerPrompt({ ...request, triples }), completion: ` ${hint}` };
  }
  const careless = random.uniform() < habits.careless;
  const choice = (careless ? undefined : readChoice(request, hint, random)) ?? random.integer(letters.length);
  yield { prompt: recommenderPrompt({ ...request, hint }), completion: letters[choice]! };
  if (random.uniform() < 0.4) yield drill(request.candidates, letters.length, random);
}

const requestsPerWorld = 24;
/** Worlds at the beginning in which lists are short and only looked up, ever longer. */
const drillWorlds = 400;
/** Longest list of a world in the drills, from 4 to 20: short ones until looking up is likely to be learned. */
const longestList = (place: number): number =>
  4 + Math.max(0, Math.floor((16 * (place - drillWorlds / 2)) / (drillWorlds / 2)));

/**
 * The endless stream of pretraining examples: a fresh world, some requests, the next world.
 * @param drills false: without the short lists at the beginning.
 */
export function* traceStream(seed: number, drills = true): Generator<Trace, never> {
  for (let place = drills ? 0 : drillWorlds; ; place++) {
    const random = stream("recommend", "pretrain", seed, place);
    const lands = practiceLands(random);
    if (place < drillWorlds) {
      for (let i = 0; i < requestsPerWorld; i++) {
        const names = random.shuffled(lands).map(({ name }) => name);
        yield drill(names, 2 + random.integer(longestList(place) - 1), random);
      }
      continue;
    }
    const landOf = new Map(lands.map((land) => [land.name, land]));
    const requester = new Requester(lands);
    for (let i = 0; i < requestsPerWorld; i++) {
      const request = requester.request(experts[i % experts.length]!, random);
      if (request !== undefined) yield* workThrough(request, landOf, random);
    }
  }
}
