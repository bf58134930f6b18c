/**
 * @file Lands and what is known of them: the real ones (facts of the atlas example, whose held-out countries are held
 * out here too) and practice worlds that never were, for pretraining.
 */

import type { Stream } from "troupe";
import type { Triple } from "troupe/tools";
import { inventNames, type Names } from "../atlas/names.ts";
import { testCountries, trainingWorld, trueWorld, type World } from "../atlas/world.ts";

export { testCountries } from "../atlas/world.ts";

/** What a preference can be about. */
export const relations = ["language", "currency", "region", "capital", "borders"] as const;
export type Relation = (typeof relations)[number];
/** Relations whose values several lands share by nature. */
export const sharedRelations: readonly Relation[] = ["language", "currency", "region"];

export interface Fact {
  readonly relation: Relation;
  readonly value: string;
}

export interface Land {
  readonly name: string;
  readonly facts: readonly Fact[];
}

export type Split = "train" | "test";

export const triplesOf = ({ name, facts }: Land): readonly Triple[] =>
  facts.map(({ relation, value }) => ({ subject: name, relation, object: value }));

/** Longer names fill a prompt of twenty candidates; such lands are left out. */
const longestName = 18;
/** A land with a dozen neighbours would fill the evidence with them. */
const mostBorders = 3;

function landsOf({ countries }: World): readonly Land[] {
  return countries
    .filter(({ name }) => name.length <= longestName)
    .map(({ name, values, borders }) => {
      const fact = (relation: Relation, value: string | undefined) =>
        value === undefined ? [] : [{ relation, value }];
      return {
        name,
        facts: [
          ...(values.languages?.split(/, | and /) ?? []).flatMap((value) => fact("language", value)),
          ...fact("currency", values.currency),
          ...fact("region", values.region),
          ...fact("capital", values.capital),
          ...borders.slice(0, mostBorders).flatMap((value) => fact("borders", value)),
        ],
      };
    });
}

let cached: Readonly<Record<Split, readonly Land[]>> | undefined;

/** The lands of a split: training knows nothing of the countries that the test recommends. */
export function landsFor(split: Split): readonly Land[] {
  cached ??= { train: landsOf(trainingWorld()), test: landsOf(trueWorld()) };
  return cached[split];
}

let pools: Names | undefined;
function realNames(): Names {
  if (pools === undefined) {
    const lands = landsFor("train");
    const column = (relation: Relation) =>
      lands.flatMap(({ facts }) =>
        facts.filter((fact) => fact.relation === relation).map(({ value }) => value),
      );
    pools = {
      countries: lands.map(({ name }) => name),
      capitals: column("capital"),
      currencies: column("currency"),
      points: [],
      languages: [...new Set(column("language"))],
      regions: [...new Set(column("region"))],
    };
  }
  return pools;
}

/** A world that never was, with values that several lands share; who learns from it has to read, and cannot recall. */
export function practiceLands(random: Stream, size = 40): readonly Land[] {
  const source = inventNames(random, realNames(), 0.2 + 0.5 * random.uniform());
  const short = (kind: keyof Names, count: number): readonly string[] => {
    const names = new Set<string>();
    while (names.size < count) {
      const name = source.one(kind);
      if (name.length <= longestName && !testCountries.has(name)) names.add(name);
    }
    return [...names];
  };
  const names = short("countries", size);
  const capitals = short("capitals", size);
  const languages = short("languages", 14);
  const currencies = short("currencies", 10);
  const regions = random.shuffled(realNames().regions).slice(0, 6);
  return names.map((name, i) => ({
    name,
    facts: [
      ...random
        .shuffled(languages)
        .slice(0, 1 + random.integer(3))
        .map((value): Fact => ({ relation: "language", value })),
      { relation: "currency", value: random.pick(currencies) },
      { relation: "region", value: random.pick(regions) },
      { relation: "capital", value: capitals[i]! },
      ...random
        .shuffled(names.filter((other) => other !== name))
        .slice(0, random.integer(3))
        .map((value): Fact => ({ relation: "borders", value })),
    ],
  }));
}
