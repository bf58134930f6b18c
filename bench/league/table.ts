/**
 * @file Fills docs/methods/league.md and draws docs/images/league.svg from results.jsonl.
 *
 *     npx jiti bench/league/table.ts
 *
 * --results file   Default: bench/league/results.jsonl
 * --budget n       of a trial with run.ts --budget
 * --page, --chart  where to write; "-": print the tables, draw nothing
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chart } from "./chart.ts";
import { entries } from "./entries.ts";
import { leagueSeeds } from "./league-task.ts";
import { filledPage, taskTable } from "./markdown.ts";
import { readResults, resultsFile } from "./results.ts";
import { standings } from "./standings.ts";
import { leagueTasks } from "./tasks.ts";

const inDocs = (path: string) => fileURLToPath(new URL(`../../docs/${path}`, import.meta.url));
const { values: given } = parseArgs({
  options: {
    results: { type: "string", default: resultsFile },
    budget: { type: "string" },
    page: { type: "string", default: inDocs("methods/league.md") },
    chart: { type: "string", default: inDocs("images/league.svg") },
  },
});
const results = await readResults(given.results);
const all = leagueTasks.map((task) =>
  standings(
    results,
    task,
    entries,
    leagueSeeds,
    given.budget === undefined ? task.budget : Number(given.budget),
  ),
);
const tables = all.map((one) => taskTable(one, leagueSeeds.length));
if (given.page === "-") console.log(tables.join("\n\n"));
else writeFileSync(given.page, filledPage(readFileSync(given.page, "utf8"), tables));
if (given.chart !== "-") writeFileSync(given.chart, chart(all));
