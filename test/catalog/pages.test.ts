/** A docs page for every card, with the sections that all pages have, and an index that has them all. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { indexPage, root } from "../../scripts/methods-index.mjs";
import { catalog, importOf, stageTitles } from "../../src/catalog/index.ts";

const sections = ["What is computed", "Use", "Settings", "Details", "Metrics", "Results", "Tests"];
const pageOf = (name: string) => join(root, "docs/methods", `${name}.md`);

/** Lines that say something; the formatter may change spaces. */
const said = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim().replace(/^\*/, "-"))
    .filter((line) => line !== "");

test("the index has every card, as it is: `node scripts/methods-index.mjs`", () => {
  const page = readFileSync(join(root, "docs/methods/README.md"), "utf8");
  expect(said(page)).toEqual(said(indexPage(catalog, stageTitles)));
  for (const { name } of catalog) expect(page).toContain(`(${name}.md)`);
});

test("every card has a page", () => {
  const missing = catalog.filter(({ name }) => !existsSync(pageOf(name)));
  expect(missing.map(({ name }) => `docs/methods/${name}.md`)).toEqual([]);
});

const pages = catalog.filter(({ name }) => existsSync(pageOf(name)));

describe.each(pages.map((card) => [card.name, card] as const))("docs/methods/%s.md", (name, card) => {
  const text = readFileSync(pageOf(name), "utf8");

  test("has its sections, and uses what its card imports", () => {
    expect(text).toMatch(/^# \S/);
    const found = [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title!);
    expect(sections.filter((title) => !found.includes(title))).toEqual([]);
    expect(text).toContain("```ts");
    expect(text).toContain(importOf(card)!.name);
  });

  test("names every default of its card in its settings", () => {
    const [, settings = ""] = /^## Settings\n([\s\S]*?)(?=^## )/m.exec(text) ?? [];
    expect(Object.keys(card.defaults).filter((option) => !settings.includes(option))).toEqual([]);
  });

  test("links lead somewhere", () => {
    const broken = [...text.matchAll(/\]\(((?!https?:)[^)#]+)(?:#[^)]*)?\)/g)]
      .map(([, path]) => path!)
      .filter((path) => !existsSync(join(root, "docs/methods", path)));
    expect(broken).toEqual([]);
  });
});
