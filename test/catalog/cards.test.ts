/** Cards against the code: what a card says of names, defaults and imports is so. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cardsOf, root, sources } from "../../scripts/methods-index.mjs";
import { catalog, findCard, importOf, stageTitles } from "../../src/catalog/index.ts";
import * as troupe from "../../src/index.ts";
import type { MethodCard } from "../../src/methods/card.ts";
import * as methods from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import * as rewards from "../../src/rewards/index.ts";
import * as search from "../../src/search/index.ts";
import { functions, neededSettings } from "./needed-settings.ts";

const read = (path: string) => readFileSync(join(root, path), "utf8");
const all = catalog.map(({ name }) => name);
const entries: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  troupe,
  "troupe/methods": methods,
  "troupe/rewards": rewards,
  "troupe/search": search,
};
const exported = (card: MethodCard): unknown => {
  const { name, from } = importOf(card)!;
  return entries[from]?.[name];
};

test("names and imports are unique", () => {
  const repeated = (names: readonly string[]) => names.filter((name, i) => names.indexOf(name) !== i);
  expect(repeated(all)).toEqual([]);
  expect(repeated(catalog.map(({ use }) => use))).toEqual([]);
});

test("the catalogue has every card of the sources: `node scripts/methods-index.mjs`", () => {
  const module = read("src/catalog/cards.ts");
  const gathered = [...module.matchAll(/^import \{([^}]+)\} from "\.\.\/([^"]+)";/gm)].flatMap(
    ([, names, path]) =>
      names!
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")
        .map((name) => `src/${path} ${name}`),
  );
  const found = sources().flatMap((path) => cardsOf(read(path)).map((name) => `${path} ${name}`));
  expect(gathered.sort()).toEqual(found.sort());
  expect(catalog.length).toBe(found.length);
});

test("stages run in the order of the catalogue", () => {
  const order = Object.keys(stageTitles);
  const places = catalog.map(({ stage }) => order.indexOf(stage));
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(order).not.toContain(undefined);
});

describe.each(all)("%s", (name) => {
  const card = findCard(name);

  test("says what it is", () => {
    expect(card.name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    for (const field of ["title", "line", "source"] as const) expect(card[field].trim()).not.toBe("");
    expect(card.line, "the line is one line of at most 120 characters").toMatch(/^.{1,120}$/);
    expect(card.line, "a phrase, not a sentence").not.toMatch(/^[A-Z][a-z]|\.$/);
    expect(card.formula.length).toBeGreaterThan(0);
    for (const { source } of Object.values(card.defaults)) expect(source.trim()).not.toBe("");
    expect(`${card.source} ${card.notes?.join(" ") ?? ""}`).not.toMatch(/undefined|TODO/);
  });

  test("what it imports is exported", () => {
    const imported = importOf(card);
    expect(imported, `use: ${card.use}`).toBeDefined();
    expect(entries[imported!.from], imported!.from).toBeDefined();
    expect(typeof exported(card), `${imported!.name} in the index of ${imported!.from}`).toBe("function");
  });

  test("its defaults are the code's", () => {
    const settings = settingsOf(card);
    if (settings === undefined) return;
    const wrong = Object.entries(card.defaults).flatMap(([option, { value }]) => {
      const found = valuesOf(settings, option);
      // A whole method may pass an option on under another name or in other words; the next test tells.
      if (card.stage === "method" && (found.length === 0 || typeof value !== "number")) return [];
      return found.some((one) => same(one, value))
        ? []
        : [`${option}: card ${shown(value)}, code ${shown(found)}`];
    });
    expect(wrong).toEqual([]);
  });

  test("given its defaults, it is what it is without", () => {
    if (card.stage !== "method") return;
    const make = exported(card) as (given?: unknown) => Method;
    // A default in words, such as "reward of at least 1", stands for a function or a part.
    const given = Object.fromEntries(
      Object.entries(card.defaults)
        .filter(([, { value }]) => !(typeof value === "string" && /[\s(]/.test(value)))
        .map(([option, { value }]) => [option, value]),
    );
    const needed = neededSettings[name] as object | undefined;
    expect(make({ ...given, ...needed }).settings).toEqual(make(needed).settings);
    expect(make({ ...given, ...needed }).needs).toEqual(make(needed).needs);
  });

  test("it says a default for every setting", () => {
    const settings = settingsOf(card);
    // What it must be given has no default.
    if (settings === undefined || card.stage === "method" || name in neededSettings) return;
    const silent = Object.keys(settings).filter((option) => !Object.hasOwn(card.defaults, option));
    expect(silent).toEqual([]);
  });
});

/** Of what the factory makes with as little as it needs; undefined where it makes something without settings. */
function settingsOf(card: MethodCard): Readonly<Record<string, unknown>> | undefined {
  if (["reward", "schedule"].includes(card.stage) || functions.includes(card.name)) return undefined;
  const make = exported(card) as (given?: unknown) => {
    readonly settings: Readonly<Record<string, unknown>>;
  };
  return make(neededSettings[card.name]).settings;
}

/** Every value of an option in settings, those of parts included. */
function valuesOf(settings: Readonly<Record<string, unknown>>, option: string): readonly unknown[] {
  return Object.entries(settings).flatMap(([name, value]) => [
    ...(name === option ? [value] : []),
    ...(name.includes("/") ? valuesOf(value as Readonly<Record<string, unknown>>, option) : []),
  ]);
}

const same = (left: unknown, right: unknown) =>
  Object.is(left, right) || (typeof left === "object" && shown(left) === shown(right));
const shown = (value: unknown) =>
  JSON.stringify(value, (_, one) => (typeof one === "number" && !Number.isFinite(one) ? String(one) : one)) ??
  String(value);
