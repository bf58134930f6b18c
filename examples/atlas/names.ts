/** @file Invented names for counterfactual worlds: pronounceable, endless, in the shapes that real names have. */

import type { Stream } from "troupe";

/** Pools of real names that may appear in training. */
export interface Names {
  readonly countries: readonly string[];
  readonly capitals: readonly string[];
  readonly currencies: readonly string[];
  readonly points: readonly string[];
  readonly languages: readonly string[];
  readonly regions: readonly string[];
}

const onsets =
  "b c d f g h j k l m n p qu r s t v w x y z br ch cl cr dr fl gr kh kr ll mb nd ph pr sh sl st th tr ts zh '".split(
    " ",
  );
const vowels = "a a a e e e i i i o o o u u ai au ea ei ia ie io oa ou ua y á é í ó ö ü ã ô".split(" ");
const codas = ["", "", "", "", ..."n n r s l m k t d g b ck ng nd st rg th z v h x sk".split(" ")];

const units =
  "dollars francs pounds pesos rupees dinars rials kroner shillings kwacha dirhams rubles manats escudos guilders".split(
    " ",
  );

const capitalised = (text: string): string => text.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** Draws names of every kind; `inventedShare` of them are not in the pools. */
export interface NameSource {
  one(kind: keyof Names): string;
  /** Different names, none contained in another as a whole word sequence is not promised. */
  distinct(kind: keyof Names, count: number): readonly string[];
  code(): string;
}

export function inventNames(random: Stream, pools: Names, inventedShare: number): NameSource {
  const chance = (p: number) => random.uniform() < p;
  const stem = (): string => {
    let text = chance(0.25) ? random.pick(vowels) : "";
    for (let i = chance(0.25) ? 1 : chance(0.7) ? 2 : 3; i > 0; i--) {
      text += random.pick(onsets) + random.pick(vowels) + (i === 1 || chance(0.25) ? random.pick(codas) : "");
    }
    return text.replace(/^'/, "");
  };
  const word = (): string => (chance(0.04) ? `${capitalised(stem())}-${stem()}` : capitalised(stem()));
  const phrase = (before: readonly string[], after: readonly string[], decorated: number): string => {
    const base = chance(0.15) ? `${word()} ${word()}` : word();
    if (!chance(decorated)) return base;
    return chance(0.6) ? `${random.pick(before)} ${base}` : `${base} ${random.pick(after)}`;
  };
  const invent: Record<keyof Names, () => string> = {
    countries: () =>
      chance(0.5)
        ? phrase(["Saint", "New", "South", "North", "East"], ["Islands", "Republic", "and Barbuda"], 0.25)
        : capitalised(`${stem()}${random.pick(["ia", "land", "stan", "a", "o", "istan", "nia", "ua"])}`),
    capitals: () => phrase(["Port", "San", "Saint", "Fort", "La"], ["City", "Town", "de la Cruz"], 0.2),
    currencies: () =>
      chance(0.25)
        ? stem()
        : `${word()}${random.pick(["n", "ian", "ese", "ish", "i", "an"])} ${chance(0.7) ? random.pick(units) : stem()}`,
    points: () =>
      phrase(
        ["Mount", "Mont", "Pico de", "Cerro", "Jabal", "Monte", "Nevado", "Gora"],
        ["Peak", "Mountain", "Hill"],
        0.6,
      ),
    languages: () => `${word()}${random.pick(["", "ish", "ese", "i", "an", "ic"])}`,
    regions: () => random.pick(pools.regions),
  };
  const one = (kind: keyof Names): string =>
    chance(inventedShare) ? invent[kind]() : random.pick(pools[kind]);
  const letters = "abcdefghijklmnopqrstuvwxyz";
  return {
    one,
    distinct(kind, count) {
      const names = new Set<string>();
      while (names.size < count) names.add(one(kind));
      return [...names];
    },
    code: () => letters[random.integer(26)]! + letters[random.integer(26)]!,
  };
}
