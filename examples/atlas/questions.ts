/** @file Makes questions with their answers and the plan of searches that leads to them, from any world. */

import type { Stream } from "troupe";
import {
  type Asked,
  asked,
  type Compared,
  fill,
  frames,
  type Inverse,
  inverses,
  nouns,
  pairSplit,
  type Split,
} from "./frames.ts";
import { type Attribute, attributeWords, type Country, type World } from "./world.ts";

export const kinds = [
  /** One hop: a fact of a named country. */
  "attribute",
  /** One hop: the country that has a fact. */
  "inverse",
  /** Two hops: a fact of a described country. */
  "chain",
  /** Two hops: which of two named countries has more. */
  "comparison",
  /** Two hops: the common neighbour of two named countries. */
  "between",
  /** Three hops: a fact of the only neighbour of a described country. */
  "longChain",
  /** Three hops: which of two described countries has more. */
  "describedComparison",
] as const;
export type Kind = (typeof kinds)[number];

/** What a search is after; `subject` and `value` may be `#k`, the result of the k-th search. */
export type Goal =
  | { readonly find: "value"; readonly attribute: Attribute; readonly subject: string }
  | { readonly find: "country"; readonly attribute: Inverse; readonly value: string };

export interface Question {
  readonly kind: Kind;
  readonly hops: 1 | 2 | 3;
  readonly question: string;
  readonly answer: string;
  /** Countries that the question or its reasoning is about. */
  readonly about: readonly string[];
  /** The searches that lead to the answer. */
  readonly plan: readonly Goal[];
  /** Everything that the question names: what a hasty searcher would type. */
  readonly keywords: string;
  readonly compared?: {
    readonly attribute: Compared;
    readonly more: boolean;
    readonly names: readonly [string, string];
  };
}

/** A world prepared for asking: which facts name one country, who borders whom. */
export class Questioner {
  readonly #countries: readonly Country[];
  readonly #byName: ReadonlyMap<string, Country>;
  readonly #unique: ReadonlySet<string>;

  /** Only countries in `about` are asked about, but facts have to be unique in the whole world. */
  constructor(world: World, about: (name: string) => boolean = () => true) {
    this.#countries = world.countries.filter((country) => about(country.name));
    this.#byName = new Map(this.#countries.map((country) => [country.name, country]));
    const counts = new Map<string, number>();
    for (const country of world.countries) {
      for (const attribute of inverses) {
        const fact = `${attribute}=${country.values[attribute]?.toLowerCase()}`;
        counts.set(fact, (counts.get(fact) ?? 0) + 1);
      }
    }
    this.#unique = new Set([...counts].filter(([, count]) => count === 1).map(([fact]) => fact));
  }

  /** A question of this kind, or undefined when the countries drawn do not support one. */
  ask(kind: Kind, split: Split, random: Stream): Question | undefined {
    const country = random.pick(this.#countries);
    if (kind === "attribute") return this.#attribute(country, split, random);
    if (kind === "inverse") return this.#inverse(country, split, random);
    if (kind === "chain") return this.#chain(country, split, random);
    if (kind === "longChain") return this.#longChain(country, split, random);
    if (kind === "between") return this.#between(country, split, random);
    const other = random.pick(this.#countries);
    return kind === "comparison"
      ? this.#comparison(country, other, split, random)
      : this.#describedComparison(country, other, split, random);
  }

  #attribute(country: Country, split: Split, random: Stream): Question | undefined {
    const attribute = random.pick(asked);
    const answer = country.values[attribute];
    if (answer === undefined) return undefined;
    return {
      kind: "attribute",
      hops: 1,
      question: askFor(attribute, country.name, split, random),
      answer,
      about: [country.name],
      plan: [{ find: "value", attribute, subject: country.name }],
      keywords: `${country.name} ${attributeWords[attribute]}`,
    };
  }

  #inverse(country: Country, split: Split, random: Stream): Question | undefined {
    const attribute = random.pick(inverses);
    const value = this.#naming(country, attribute);
    if (value === undefined) return undefined;
    return {
      kind: "inverse",
      hops: 1,
      question: fill(random.pick(frames[split].inverse), { n: nouns[attribute], v: value }),
      answer: country.name,
      about: [country.name],
      plan: [{ find: "country", attribute, value }],
      keywords: `${value} ${attributeWords[attribute]}`,
    };
  }

  #chain(country: Country, split: Split, random: Stream): Question | undefined {
    const inner = random.pick(inverses);
    const outer = random.pick(asked);
    const value = this.#naming(country, inner);
    const answer = country.values[outer];
    if (value === undefined || answer === undefined || outer === inner || pairSplit(outer, inner) !== split) {
      return undefined;
    }
    return {
      kind: "chain",
      hops: 2,
      question: askFor(outer, describe(inner, value, split, random), split, random),
      answer,
      about: [country.name],
      plan: [
        { find: "country", attribute: inner, value },
        { find: "value", attribute: outer, subject: "#1" },
      ],
      keywords: `${attributeWords[outer]} ${attributeWords[inner]} ${value}`,
    };
  }

  #longChain(country: Country, split: Split, random: Stream): Question | undefined {
    const inner = random.pick(inverses);
    const outer = random.pick(asked);
    const value = this.#naming(country, inner);
    const neighbour = this.#byName.get(country.borders[0] ?? "");
    if (value === undefined || country.borders.length !== 1 || neighbour === undefined) return undefined;
    const answer = neighbour.values[outer];
    if (answer === undefined) return undefined;
    const alone = fill(random.pick(frames[split].neighbour), { x: describe(inner, value, split, random) });
    return {
      kind: "longChain",
      hops: 3,
      question: askFor(outer, alone[0]!.toLowerCase() + alone.slice(1), split, random),
      answer,
      about: [country.name, neighbour.name],
      plan: [
        { find: "country", attribute: inner, value },
        { find: "value", attribute: "borders", subject: "#1" },
        { find: "value", attribute: outer, subject: "#2" },
      ],
      keywords: `${attributeWords[outer]} borders ${attributeWords[inner]} ${value}`,
    };
  }

  #comparison(x: Country, y: Country, split: Split, random: Stream): Question | undefined {
    const compared = compare(x, y, random);
    if (!compared) return undefined;
    const { attribute, more, winner } = compared;
    return {
      kind: "comparison",
      hops: 2,
      question: fill(random.pick(frames[split].comparison), {
        n: nouns[attribute],
        x: x.name,
        y: y.name,
        more: more ? "larger" : "smaller",
      }),
      answer: winner.name,
      about: [x.name, y.name],
      plan: [x, y].map(({ name }) => ({ find: "value", attribute, subject: name }) as const),
      keywords: `${more ? "larger" : "smaller"} ${attributeWords[attribute]} ${x.name} ${y.name}`,
      compared: { attribute, more, names: [x.name, y.name] },
    };
  }

  #describedComparison(x: Country, y: Country, split: Split, random: Stream): Question | undefined {
    const compared = compare(x, y, random);
    const [innerX, innerY] = [random.pick(inverses), random.pick(inverses)];
    const [valueX, valueY] = [this.#naming(x, innerX), this.#naming(y, innerY)];
    if (!compared || valueX === undefined || valueY === undefined) return undefined;
    const { attribute, more, winner } = compared;
    return {
      kind: "describedComparison",
      hops: 3,
      question: fill(random.pick(frames[split].comparison), {
        n: nouns[attribute],
        x: describe(innerX, valueX, split, random),
        y: describe(innerY, valueY, split, random),
        more: more ? "larger" : "smaller",
      }),
      answer: winner.name,
      about: [x.name, y.name],
      plan: [
        { find: "country", attribute: innerX, value: valueX },
        { find: "country", attribute: innerY, value: valueY },
        { find: "value", attribute, subject: "#1" },
        { find: "value", attribute, subject: "#2" },
      ],
      keywords: `${more ? "larger" : "smaller"} ${attributeWords[attribute]} ${valueX} ${valueY}`,
      compared: { attribute, more, names: [x.name, y.name] },
    };
  }

  #between(middle: Country, split: Split, random: Stream): Question | undefined {
    const neighbours = random.shuffled(middle.borders).flatMap((name) => this.#byName.get(name) ?? []);
    const [x, y] = neighbours;
    if (!x || !y || x.borders.length > 6 || y.borders.length > 6) return undefined;
    if (x.borders.filter((name) => y.borders.includes(name)).length !== 1) return undefined;
    return {
      kind: "between",
      hops: 2,
      question: fill(random.pick(frames[split].between), { x: x.name, y: y.name }),
      answer: middle.name,
      about: [middle.name, x.name, y.name],
      plan: [x, y].map(({ name }) => ({ find: "value", attribute: "borders", subject: name }) as const),
      keywords: `borders ${x.name} ${y.name}`,
    };
  }

  /** The country's value of this attribute if no other country has it. */
  #naming(country: Country, attribute: Inverse): string | undefined {
    const value = country.values[attribute];
    return this.#unique.has(`${attribute}=${value?.toLowerCase()}`) ? value : undefined;
  }
}

function askFor(attribute: Asked, subject: string, split: Split, random: Stream): string {
  const { attribute: general, particular } = frames[split];
  const own = particular[attribute];
  const frame = own && random.uniform() < 0.3 ? random.pick(own) : random.pick(general);
  return fill(frame, { n: nouns[attribute], x: subject, be: attribute === "languages" ? "are" : "is" });
}

const describe = (attribute: Inverse, value: string, split: Split, random: Stream): string =>
  random
    .pick(frames[split].description)
    .replace("{n}", nouns[attribute])
    .replace("{v}", () => value);

/** Which of two countries has more or less of something; undefined when their rounded figures are too close to call. */
function compare(x: Country, y: Country, random: Stream) {
  const attribute: Compared = random.uniform() < 0.5 ? "population" : "area";
  const more = random.uniform() < 0.7;
  if (x.name === y.name || Math.abs(Math.log(x[attribute] / y[attribute])) < 0.05) return undefined;
  return { attribute, more, winner: x[attribute] > y[attribute] === more ? x : y };
}

/** Draws questions of given kinds until `count` different ones are found; shares are kept exactly. */
export function drawQuestions(
  questioner: Questioner,
  split: Split,
  shares: Readonly<Partial<Record<Kind, number>>>,
  count: number,
  random: Stream,
): readonly Question[] {
  const questions: Question[] = [];
  const seen = new Set<string>();
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0);
  let reached = 0;
  for (const [kind, share] of Object.entries(shares) as [Kind, number][]) {
    reached += share;
    const target = Math.round((reached / total) * count);
    for (let trial = 0; questions.length < target; trial++) {
      if (trial > 2000 * count)
        throw new RangeError(`The world supports only ${questions.length} of ${target} questions (${kind}).`);
      const question = questioner.ask(kind, split, random);
      if (!question || seen.has(question.question)) continue;
      seen.add(question.question);
      questions.push(question);
    }
  }
  return random.shuffled(questions);
}
