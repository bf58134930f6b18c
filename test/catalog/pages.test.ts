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

describe.each(catalog.map((card) => [card.name, card] as const))("docs/methods/%s.md", (name, card) => {
  test("is there, with its sections", () => {
    expect(existsSync(pageOf(name)), `docs/methods/${name}.md is missing`).toBe(true);
    const text = readFileSync(pageOf(name), "utf8");
    expect(text).toMatch(/^# \S/);
    const found = [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title!);
    expect(sections.filter((title) => !found.includes(title))).toEqual([]);
    expect(text, "the snippet uses what the card imports").toContain(importOf(card)!.name);
  });

  test("links lead somewhere", () => {
    if (!existsSync(pageOf(name))) return;
    const text = readFileSync(pageOf(name), "utf8");
    const broken = [...text.matchAll(/\]\(((?!https?:)[^)#]+)(?:#[^)]*)?\)/g)]
      .map(([, path]) => path!)
      .filter((path) => !existsSync(join(root, "docs/methods", path)));
    expect(broken).toEqual([]);
  });
});
