/**
 * @file Writes what follows from the cards of the methods library: node scripts/methods-index.mjs [--tracked]
 *
 *   src/catalog/cards.ts        an import of every `export const …Card: MethodCard` under src/methods, src/rewards, src/search
 *   docs/methods/README.md      the methods by stage, one line each
 *
 * A test compares both with the cards. `--tracked` leaves out files that git does not know.
 */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";

export const root = join(fileURLToPath(import.meta.url), "..", "..");
const homes = ["src/methods", "src/rewards", "src/search"];

/** Paths of all sources that may hold cards, from the repository's root, sorted. */
export function sources({ tracked = false } = {}) {
  const found = tracked
    ? execFileSync("git", ["ls-files", ...homes], { cwd: root, encoding: "utf8" }).split("\n")
    : homes.flatMap((home) =>
        readdirSync(join(root, home), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/")),
      );
  return found.filter((path) => path.endsWith(".ts")).sort();
}

/** The names of the cards that a source exports. */
export function cardsOf(text) {
  return [...text.matchAll(/^export const (\w+Card): MethodCard\b/gm)].map(([, name]) => name);
}

/** The text of src/catalog/cards.ts. */
export function cardsModule(options) {
  const files = sources(options)
    .map((path) => ({ path, names: cardsOf(readFileSync(join(root, path), "utf8")).sort() }))
    .filter(({ names }) => names.length > 0);
  const imports = files.map(
    ({ path, names }) => `import { ${names.join(", ")} } from "${path.replace("src/", "../")}";`,
  );
  const names = files.flatMap((file) => file.names).sort((a, b) => (a < b ? -1 : 1));
  return `/** @file Every card of the library. Written by scripts/methods-index.mjs; do not edit. */

import type { MethodCard } from "../methods/card.ts";
${imports.join("\n")}

export const allCards: readonly MethodCard[] = [
${names.map((name) => `  ${name},\n`).join("")}];
`;
}

/** The text of docs/methods/README.md. */
export function indexPage(catalog, stageTitles) {
  const sections = Object.entries(stageTitles).flatMap(([stage, title]) => {
    const cards = catalog.filter((card) => card.stage === stage);
    if (cards.length === 0) return [];
    return [
      `## ${title}\n\n${cards.map((card) => `- [${card.title}](${card.name}.md) \`${card.name}\`: ${sentence(card.line)} ${sentence(card.source)}`).join("\n")}\n`,
    ];
  });
  return `# Methods

Every method and part of the library, by the place where it stands in a method. \`troupe methods\` prints the same list, \`troupe methods <name>\` a formula with its defaults and where they come from. How parts combine: [composition](composition.md). How to write one of your own: [writing a method](../writing-a-method.md). What all of them share: [credit and updates](credit.md). How they compare when they are trained: [the league](league.md).

${sections.join("\n")}`;
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const cards = join(root, "src/catalog/cards.ts");
  const page = join(root, "docs/methods/README.md");
  writeFileSync(cards, cardsModule({ tracked: process.argv.includes("--tracked") }));
  const { catalog, stageTitles } = await createJiti(import.meta.url).import(
    join(root, "src/catalog/index.ts"),
  );
  writeFileSync(page, indexPage(catalog, stageTitles));
  execFileSync(
    process.execPath,
    [join(root, "node_modules/@biomejs/biome/bin/biome"), "check", "--write", cards, page],
    {
      cwd: root,
    },
  );
  process.stdout.write(`${catalog.length} cards\n`);
}
