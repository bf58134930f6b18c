/**
 * @file Fills the table of a study's page from its results.
 *
 *     npx jiti bench/studies/table.ts mars2            # docs/studies/mars2.md
 *     npx jiti bench/studies/table.ts mars2 --page -   # prints it
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Estimate, estimate } from "../league/statistics.ts";
import { lineKey, readLines, resultsFile } from "./results.ts";
import { studyNamed } from "./studies.ts";
import { type Arm, type Outcome, type Study, studySeeds } from "./study.ts";

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: { results: { type: "string" }, page: { type: "string" } },
});
const study = await studyNamed(positionals[0] ?? "");
const lines = await readLines(given.results ?? resultsFile(study.name));

const shown = ({ mean, interval }: Estimate): string =>
  interval === undefined
    ? mean.toFixed(3)
    : `${mean.toFixed(3)} [${interval[0].toFixed(3)}, ${interval[1].toFixed(3)}]`;

function row(
  { measures }: Study,
  name: string,
  line: string,
  outcomes: readonly Outcome[],
  differences: readonly string[],
): string {
  const cell = (of: (outcome: Outcome) => number | undefined) => {
    const values = outcomes.flatMap((outcome) => {
      const value = of(outcome);
      return value === undefined ? [] : [value];
    });
    return values.length === 0 ? "" : shown(estimate(values));
  };
  const tokens = estimate(outcomes.map(({ sampledTokens }) => sampledTokens)).mean;
  return `| ${[
    `**${name}**: ${line}`,
    ...measures.map((measure) => cell(({ after }) => after[measure])),
    ...differences,
    `${(tokens / 1000).toFixed(1)}k`,
    String(outcomes.length),
  ].join(" | ")} |`;
}

/** Seed by seed, so that what a seed does to both arms falls out. */
function differencesOf(study: Study, arm: Arm): readonly string[] {
  const { against } = study;
  if (against === undefined) return [];
  const other = study.arms.find(({ name }) => name === against.arm)!;
  return against.measures.map((measure) => {
    if (other === arm) return "";
    const values = studySeeds.flatMap((seed) => {
      const [own, base] = [arm, other].map(
        (one) => lines.get(lineKey(study.name, one, seed))?.outcome?.after[measure],
      );
      return own === undefined || base === undefined ? [] : [own - base];
    });
    return values.length === 0 ? "" : shown(estimate(values));
  });
}

function outcomesOf(study: Study, arm: Arm): readonly Outcome[] {
  return studySeeds.flatMap((seed) => lines.get(lineKey(study.name, arm, seed))?.outcome ?? []);
}

function table(study: Study): string {
  const { against } = study;
  const compared = (against?.measures ?? []).map((measure) => `${measure} − that of ${against!.arm}`);
  const columns = ["arm", ...study.measures, ...compared, "sampled tokens", "seeds"];
  const rows = study.arms.flatMap((arm) => {
    const found = studySeeds.map((seed) => lines.get(lineKey(study.name, arm, seed)));
    const outcomes = outcomesOf(study, arm);
    const errors = found.flatMap((line) => (line?.outcome === undefined ? (line?.error ?? []) : []));
    if (outcomes.length === 0 && errors.length === 0) return [];
    if (outcomes.length === 0) return [`| **${arm.name}**: failed: ${errors[0]!.split("\n")[0]} |`];
    return [row(study, arm.name, arm.line, outcomes, differencesOf(study, arm))];
  });
  const before = study.measures.flatMap((measure) => {
    // Arms with other participants begin elsewhere.
    const starts = study.arms.flatMap((arm) => {
      const values = outcomesOf(study, arm).flatMap((outcome) => outcome.before?.[measure] ?? []);
      return values.length === 0 ? [] : [estimate(values).mean];
    });
    if (starts.length === 0) return [];
    const [least, most] = [Math.min(...starts).toFixed(3), Math.max(...starts).toFixed(3)];
    return [`${measure} ${least === most ? least : `${least} to ${most}, by arm`}`];
  });
  return [
    `| ${columns.join(" | ")} |`,
    `|${columns.map(() => " --- |").join("")}`,
    ...rows,
    "",
    ...(before.length === 0 ? [] : [`Before training: ${before.join("; ")}.`]),
    study.about,
    ...(study.along === undefined ? [] : alongTable(study, study.along)),
  ].join("\n");
}

/** The measure at each evaluation of the runs: means over the seeds, with the tokens sampled by then. */
function alongTable(study: Study, measure: string): readonly string[] {
  const rows = study.arms.flatMap((arm) => {
    const curves = outcomesOf(study, arm).map(({ curve }) => curve);
    const [first] = curves;
    if (first === undefined || first.length === 0) return [];
    const cells = first.map((_, at) => {
      const points = curves.flatMap((curve) => (curve[at] === undefined ? [] : [curve[at]]));
      const tokens = estimate(points.map(([sampled]) => sampled)).mean;
      const value = estimate(points.map(([, measures]) => measures[measure] ?? Number.NaN)).mean;
      return `${value.toFixed(3)} (${(tokens / 1000).toFixed(0)}k)`;
    });
    return [`| ${[arm.name, ...cells].join(" | ")} |`];
  });
  if (rows.length === 0) return [];
  const width = Math.max(...rows.map((line) => line.split(" | ").length));
  return [
    "",
    `${measure} against sampled tokens (in brackets), means; between the ends on a part of the held-out tasks:`,
    "",
    `| arm |${" |".repeat(width - 1)}`,
    `|${" --- |".repeat(width)}`,
    ...rows,
  ];
}

const [begin, end] = ["<!-- study:begin -->", "<!-- study:end -->"];
if (given.page === "-") console.log(table(study));
else {
  const page = given.page ?? fileURLToPath(new URL(`../../docs/studies/${study.name}.md`, import.meta.url));
  const text = readFileSync(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no "${begin}" followed by "${end}".`);
  writeFileSync(page, `${text.slice(0, from + begin.length)}\n\n${table(study)}\n\n${text.slice(to)}`);
}
