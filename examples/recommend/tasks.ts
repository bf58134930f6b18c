/**
 * @file Recommendation tasks, generated: what somebody visited, what they wish for, and twenty candidates of which one
 * fits. The evidence that a task needs differs on purpose, so that no retrieval expert is best for all:
 *
 * | need      | wish                     | what shows the answer                                                     |
 * | --------- | ------------------------ | ------------------------------------------------------------------------- |
 * | none      | "back to Norway"         | the wish alone                                                            |
 * | triples   | "language Portuguese"    | one triple: Angola language Portuguese                                    |
 * | subgraph  | "same language as Brazil"| two triples, joined at a value that the wish does not name                |
 * | connected | "more like these"        | the one value that all visited lands share, and who else has it            |
 */

import { type Stream, stream } from "troupe";
import {
  type Fact,
  type Land,
  landsFor,
  relations,
  type Split,
  sharedRelations,
  testCountries,
} from "./lands.ts";

export const experts = ["none", "triples", "subgraph", "connected"] as const;
export type Expert = (typeof experts)[number];

export const letters: readonly string[] = [..."ABCDEFGHIJKLMNOPQRST"];

/** What somebody asks for. `fact` is the preference behind it; no agent sees it. */
export interface Request {
  readonly need: Expert;
  readonly visited: readonly string[];
  readonly wish: string;
  /** Twenty names; the place is the letter. */
  readonly candidates: readonly string[];
  /** Place of the one that fits. */
  readonly place: number;
  readonly fact: Fact | undefined;
}

export interface RecommendTask {
  readonly id: string;
  /** Which expert suffices, as generated; for reports only, no agent sees it. */
  readonly need: Expert;
  readonly visited: readonly string[];
  readonly wish: string;
  readonly candidates: readonly string[];
  /** "A" to "T". */
  readonly answer: string;
  readonly split: Split;
}

/** Wordings of each kind of wish. */
const wordings = {
  none: (name: string) => [`again ${name}`, `back to ${name}`],
  triples: ({ relation, value }: Fact) =>
    relation === "borders"
      ? [`borders ${value}`, `next to ${value}`]
      : [`${relation} ${value}`, `with ${relation} ${value}`],
  subgraph: ({ relation }: Fact, name: string) => [
    `same ${relation} as ${name}`,
    `${relation} as in ${name}`,
  ],
  connected: ["more like these", "something similar", "as before"],
} as const;

const has = ({ facts }: Land, fact: Fact): boolean =>
  facts.some(({ relation, value }) => relation === fact.relation && value === fact.value);

/** Lands by the values that they have. */
function holders(lands: readonly Land[]): readonly (readonly [Fact, readonly Land[]])[] {
  const found = new Map<string, [Fact, Land[]]>();
  for (const land of lands)
    for (const fact of land.facts) {
      const name = `${fact.relation} ${fact.value}`;
      const entry = found.get(name);
      if (entry === undefined) found.set(name, [fact, [land]]);
      else if (!entry[1].includes(land)) entry[1].push(land);
    }
  return [...found.values()];
}

export class Requester {
  readonly #lands: readonly Land[];
  readonly #holders: readonly (readonly [Fact, readonly Land[]])[];
  readonly #mayFit: (name: string) => boolean;

  /** @param mayFit which lands may be the one that fits. Default all. */
  constructor(lands: readonly Land[], mayFit: (name: string) => boolean = () => true) {
    this.#lands = lands;
    this.#holders = holders(lands);
    this.#mayFit = mayFit;
  }

  /** A request of this need; undefined where the draw met lands that do not give one (draw again). */
  request(need: Expert, random: Stream): Request | undefined {
    const lands = this.#lands;
    if (need === "none") {
      const fitting = random.pick(lands.filter(({ name }) => this.#mayFit(name)));
      const visited = random.shuffled([fitting, ...this.#others(random, 2, (land) => land !== fitting)]);
      const wish = random.pick(wordings.none(fitting.name));
      return this.#finish(random, { need, visited, wish, fitting, fact: undefined }, () => false);
    }
    const relation = random.pick(need === "triples" ? relations : sharedRelations);
    const visitors = need === "triples" ? 0 : need === "subgraph" ? 1 : 3;
    const choices = this.#holders.filter(
      ([fact, group]) =>
        fact.relation === relation && group.length > visitors && group.some(({ name }) => this.#mayFit(name)),
    );
    if (choices.length === 0) return undefined;
    const [fact, group] = random.pick(choices);
    const fitting = random.pick(group.filter(({ name }) => this.#mayFit(name)));
    const fits = (land: Land) => has(land, fact);
    const kin = random.shuffled(group.filter((land) => land !== fitting)).slice(0, visitors);
    const rest = this.#others(random, 3 - visitors, (land) => !fits(land) && land.name !== fact.value);
    const visited = random.shuffled([...kin, ...rest]);
    if (need === "triples") {
      const wish = random.pick(wordings.triples(fact));
      return this.#finish(random, { need, visited, wish, fitting, fact }, fits);
    }
    if (need === "subgraph") {
      const anchor = kin[0]!;
      const wish = random.pick(wordings.subgraph(fact, anchor.name));
      // Whatever value of the anchor is meant, one candidate alone may share it.
      const meant = anchor.facts.filter((other) => other.relation === relation);
      const ambiguous = (land: Land) => meant.some((other) => has(land, other));
      return this.#finish(random, { need, visited, wish, fitting, fact }, ambiguous);
    }
    const shared = kin[0]!.facts.filter((other) => kin.every((land) => has(land, other)));
    if (shared.length !== 1) return undefined;
    return this.#finish(
      random,
      { need, visited, wish: random.pick(wordings.connected), fitting, fact },
      fits,
    );
  }

  #others(random: Stream, count: number, allowed: (land: Land) => boolean): readonly Land[] {
    return random.shuffled(this.#lands.filter(allowed)).slice(0, count);
  }

  #finish(
    random: Stream,
    drawn: {
      readonly need: Expert;
      readonly visited: readonly Land[];
      readonly wish: string;
      readonly fitting: Land;
      readonly fact: Fact | undefined;
    },
    alsoFits: (land: Land) => boolean,
  ): Request | undefined {
    const { need, visited, wish, fitting, fact } = drawn;
    const wrong = this.#others(
      random,
      letters.length - 1,
      (land) => land !== fitting && !visited.includes(land) && !alsoFits(land) && land.name !== fact?.value,
    );
    if (wrong.length < letters.length - 1 || visited.length < 3) return undefined;
    const candidates = random.shuffled([fitting, ...wrong]);
    return {
      ...{ need, wish, fact },
      visited: visited.map(({ name }) => name),
      candidates: candidates.map(({ name }) => name),
      place: candidates.indexOf(fitting),
    };
  }
}

/**
 * `count` tasks, the four needs in turn. Those of the test recommend held-out countries only: nothing in pretraining or
 * training names them.
 */
export function recommendTasks(split: Split, count: number, seed: number): readonly RecommendTask[] {
  const mayFit = split === "test" ? (name: string) => testCountries.has(name) : undefined;
  const requester = new Requester(landsFor(split), mayFit);
  const random = stream("recommend", "tasks", split, seed);
  return Array.from({ length: count }, (_, i) => {
    const need = experts[i % experts.length]!;
    let request = requester.request(need, random);
    for (let trial = 0; request === undefined && trial < 1000; trial++)
      request = requester.request(need, random);
    if (request === undefined)
      throw new Error(`No request of need "${need}" could be drawn from the ${split} lands.`);
    const { visited, wish, candidates, place } = request;
    return { id: `${split}-${i}`, need, visited, wish, candidates, answer: letters[place]!, split };
  });
}
