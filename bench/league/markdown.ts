/** @file The league's tables, as they stand on its page. */

import { type Absence, isStanding, type Standing, type TaskStandings } from "./standings.ts";
import type { Estimate } from "./statistics.ts";

const marker = { begin: "<!-- league:begin -->", end: "<!-- league:end -->" } as const;

const shown = ({ mean, interval }: Estimate): string =>
  interval === undefined
    ? mean.toFixed(3)
    : `${mean.toFixed(3)} [${interval[0].toFixed(3)}, ${interval[1].toFixed(3)}]`;

const percent = (share: number) => `${Math.round(100 * share)} %`;

function remarks({ learns, apart, failures, score }: Standing, seeds: number): string {
  return [
    ...apart.map(({ from, where }) => `${where} ${from}`),
    ...(learns ? [] : ["**does not learn**"]),
    ...(score.n < seeds ? [`${score.n} of ${seeds} seeds`] : []),
    ...failures.map(
      ({ seed, error }) => `seed ${seed} failed: ${error.split("\n")[0]!.replaceAll("|", "\\|")}`,
    ),
  ].join("; ");
}

function rowOf(row: Standing | Absence, seeds: number): readonly string[] {
  if (!isStanding(row))
    return [row.method, "", "", "", "", "", "", row.absent.split("\n")[0]!.replaceAll("|", "\\|")];
  return [
    row.method,
    String(row.rate),
    shown(row.score),
    shown(row.height),
    `${(row.sampledTokens / 1000).toFixed(1)}k`,
    row.steps.toFixed(0),
    percent(row.groupsWithoutSignal),
    remarks(row, seeds),
  ];
}

export function taskTable({ task, budget, before, rows }: TaskStandings, seeds: number): string {
  const columns = [
    "method",
    "rate",
    task.score,
    "over the budget",
    "sampled",
    "steps",
    "no signal",
    "remarks",
  ];
  const lines = [columns, columns.map(() => "---"), ...rows.map((row) => rowOf(row, seeds))];
  const start = before === undefined ? "" : `, ${task.score} before training ${before.toFixed(3)}`;
  return [
    `### ${task.title}`,
    "",
    `${budget.toLocaleString("en")} sampled tokens a run${start}.`,
    "",
    ...lines.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

/** @returns the page with what lies between its two markers replaced. */
export function filledPage(page: string, tables: readonly string[]): string {
  const begin = page.indexOf(marker.begin);
  const end = page.indexOf(marker.end);
  if (begin < 0 || end < begin)
    throw new Error(
      `The page has no "${marker.begin}" followed by "${marker.end}": put them where the tables go.`,
    );
  return `${page.slice(0, begin + marker.begin.length)}\n\n${tables.join("\n\n")}\n\n${page.slice(end)}`;
}
