/** @file Renders facts as short articles in plain English: one passage a sentence, the wording varied from country to country. */

import { key, Stream } from "troupe";
import type { Passage } from "troupe/tools";
import type { Attribute, Country, World } from "./world.ts";

/** A sentence of an article. Agents see title and text; `country` and `states` are for making training examples. */
export interface Sentence extends Passage {
  readonly country: Country;
  /** Which facts the text states. */
  readonly states: readonly Attribute[];
}

/** Wordings of a sentence that states these facts, `{attribute}` standing for the value. Each names its attributes' query words. */
const wordings: readonly (readonly [states: readonly Attribute[], texts: readonly string[]])[] = [
  [["capital"], ["The capital is {capital}.", "Its capital is {capital}.", "{capital} is the capital."]],
  [
    ["currency"],
    [
      "The currency is the {currency}.",
      "Its currency is {currency}.",
      "People pay in {currency}, the currency.",
    ],
  ],
  [
    ["highestPoint", "height"],
    [
      "The highest point is {highestPoint}, with a height of {height} metres.",
      "{highestPoint} is the highest point; its height is {height} metres.",
    ],
  ],
  [["highestPoint"], ["The highest point is {highestPoint}.", "Its highest point is {highestPoint}."]],
  [["population"], ["The population is {population}.", "It has a population of {population}."]],
  [["area"], ["The area is {area} square kilometres.", "It has an area of {area} square kilometres."]],
  [
    ["area", "population"],
    [
      "The area is {area} square kilometres and the population is {population}.",
      "A population of {population} lives on an area of {area} square kilometres.",
    ],
  ],
  [["languages"], ["The languages are {languages}.", "Its languages include {languages}."]],
  [["region"], ["The region is {region}.", "It lies in the region of {region}."]],
  [["code"], ["The internet code is {code}.", "Its internet code is {code}."]],
  [
    ["region", "code"],
    [
      "It is in the region of {region} and its internet code is {code}.",
      "The region is {region}, the internet code {code}.",
    ],
  ],
  [["capital", "currency"], ["The capital is {capital} and the currency is the {currency}."]],
  [["borders"], ["It borders {borders}.", "It has borders with {borders}."]],
];

/** Ways to divide an article into sentences. */
const outlines: readonly (readonly (readonly Attribute[])[])[] = [
  [
    ["capital"],
    ["currency"],
    ["highestPoint", "height"],
    ["area", "population"],
    ["languages"],
    ["region", "code"],
    ["borders"],
  ],
  [
    ["capital", "currency"],
    ["highestPoint", "height"],
    ["area"],
    ["population"],
    ["languages"],
    ["region"],
    ["code"],
    ["borders"],
  ],
  [
    ["capital"],
    ["currency"],
    ["highestPoint", "height"],
    ["area"],
    ["population"],
    ["languages"],
    ["region", "code"],
    ["borders"],
  ],
];

function render(country: Country, states: readonly Attribute[], random: Stream): Sentence {
  const wording = wordings.find(([these]) => these.join() === states.join());
  if (!wording) throw new RangeError(`No wording states ${states.join(" and ")}.`);
  const text = random
    .pick(wording[1])
    .replace(/\{(\w+)\}/g, (_, attribute: string) => country.values[attribute as Attribute]!);
  return { title: country.name, text, country, states };
}

/** All passages of a world's articles. The wording depends on the world's and the country's name alone. */
export function articles(world: World): readonly Sentence[] {
  return world.countries.flatMap((country) => {
    const random = new Stream(key("atlas", "article", world.name, country.name));
    return random.pick(outlines).flatMap((states) => {
      const known = states.filter((attribute) => country.values[attribute] !== undefined);
      if (known.length === 0) return [];
      if (known.length === states.length) return [render(country, known, random)];
      return known.map((attribute) => render(country, [attribute], random));
    });
  });
}
