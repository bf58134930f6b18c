/**
 * @file The league's chart: a panel a task, a dot and an interval a method, in the order of the entries. The dashed line is
 * the score before training, the band GRPO's interval. Plain SVG without scripts or fonts of its own, light and dark.
 */

import { type Absence, isStanding, type Standing, type TaskStandings } from "./standings.ts";

const names = 150;
const panel = 220;
const gap = 34;
const rowHeight = 18;
const top = 58;
const bottom = 62;

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const style = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .small { font-size: 11px } .quiet { fill: #57606a }
  .ground { fill: #fff } .stripe { fill: #f3f4f6 } .grid { stroke: #d0d7de } .band { fill: #2563eb; opacity: .13 }
  .start { stroke: #57606a; stroke-dasharray: 3 3 } .bar { stroke-width: 3 } .bar, .dot { stroke: #1d4ed8; fill: #1d4ed8 }
  .none .bar, .none .dot { stroke: #c2410c; fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9da7b3 } .ground { fill: #0d1117 } .stripe { fill: #161b22 }
    .grid { stroke: #30363d } .band { fill: #60a5fa } .start { stroke: #9da7b3 }
    .bar, .dot { stroke: #60a5fa; fill: #60a5fa } .none .bar, .none .dot { stroke: #fb923c; fill: #0d1117 }
  }`;

/** Ends of the axis: the tenths around everything that is shown, in [0, 1]. */
function axisOf({ rows, before }: TaskStandings): readonly [number, number] {
  const values = rows
    .filter(isStanding)
    .flatMap(({ score: { mean, interval } }) => [mean, ...(interval ?? [])]);
  if (before !== undefined) values.push(before);
  if (values.length === 0) return [0, 1];
  const low = Math.max(0, Math.floor(Math.min(...values) * 10) / 10);
  const high = Math.min(1, Math.ceil(Math.max(...values) * 10) / 10);
  return high - low < 0.05 ? [Math.max(0, low - 0.1), Math.min(1, low + 0.1)] : [low, high];
}

const at = (value: number) => value.toFixed(1);

function mark(row: Standing | Absence, y: number, x: (value: number) => number): string {
  if (!isStanding(row))
    return `<text class="small quiet" x="${at(x(Number.NaN))}" y="${y + 4}">${escaped(row.absent === "not run" ? "not run" : "failed")}</text>`;
  const { mean, interval } = row.score;
  const bar =
    interval === undefined
      ? ""
      : `<line class="bar" x1="${at(x(interval[0]))}" x2="${at(x(interval[1]))}" y1="${y}" y2="${y}"/>`;
  return `<g class="${row.learns ? "learns" : "none"}">${bar}<circle class="dot" cx="${at(x(mean))}" cy="${y}" r="4.5" stroke-width="2"/></g>`;
}

function panelOf(standings: TaskStandings, left: number, height: number): string {
  const { task, rows, before } = standings;
  const [low, high] = axisOf(standings);
  // A bar that leaves the axis ends at its edge; what has no value is written at the left.
  const x = (value: number) =>
    Number.isNaN(value) ? left + 4 : left + Math.min(1, Math.max(0, (value - low) / (high - low))) * panel;
  const foot = top + rows.length * rowHeight;
  const steps = Math.round((high - low) * 10);
  const every = steps > 5 ? 2 : 1;
  const ticks = Array.from({ length: Math.floor(steps / every) + 1 }, (_, i) => low + (i * every) / 10);
  const yardstick = rows.filter(isStanding).find(({ method }) => method === "grpo")?.score.interval;
  const [heading, ...rest] = task.title.split(": ");
  return [
    `<text class="title" x="${left}" y="22">${escaped(heading!)}</text>`,
    `<text class="small quiet" x="${left}" y="38">${escaped(rest.join(": ").slice(0, 40))}</text>`,
    ...ticks.map(
      (value) =>
        `<line class="grid" x1="${at(x(value))}" x2="${at(x(value))}" y1="${top}" y2="${foot}"/><text class="small quiet" text-anchor="middle" x="${at(x(value))}" y="${foot + 15}">${value.toFixed(1)}</text>`,
    ),
    yardstick === undefined
      ? ""
      : `<rect class="band" x="${at(x(yardstick[0]))}" width="${at(Math.max(1, x(yardstick[1]) - x(yardstick[0])))}" y="${top}" height="${foot - top}"/>`,
    before === undefined
      ? ""
      : `<line class="start" x1="${at(x(before))}" x2="${at(x(before))}" y1="${top}" y2="${foot}"/>`,
    ...rows.map((row, i) => mark(row, top + (i + 0.5) * rowHeight, x)),
    `<text class="small quiet" text-anchor="middle" x="${left + panel / 2}" y="${height - 28}">held-out ${escaped(task.score)}</text>`,
  ].join("\n");
}

/** In words, for those who do not see it. */
function description(all: readonly TaskStandings[]): string {
  const of = (row: Standing | Absence) =>
    isStanding(row)
      ? `${row.method} ${row.score.mean.toFixed(2)}${row.learns ? "" : " (does not learn)"}`
      : `${row.method} without a result`;
  return all.map(({ task, rows }) => `${task.name}: ${rows.map(of).join(", ")}.`).join(" ");
}

export function chart(all: readonly TaskStandings[]): string {
  const methods = all[0]?.rows.map(({ method }) => method) ?? [];
  const width = names + all.length * (panel + gap) + 8;
  const height = top + methods.length * rowHeight + bottom;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="league-title league-description">`,
    '<title id="league-title">The league: held-out score of each method on each task, mean of the seeds and 95 % interval</title>',
    `<desc id="league-description">${escaped(description(all))}</desc>`,
    `<style>${style}\n</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    ...methods.map((method, i) => {
      const y = top + i * rowHeight;
      const stripe =
        i % 2 === 0 ? `<rect class="stripe" x="0" y="${y}" width="${width}" height="${rowHeight}"/>` : "";
      return `${stripe}<text class="small" text-anchor="end" x="${names - 10}" y="${y + rowHeight / 2 + 4}">${escaped(method)}</text>`;
    }),
    ...all.map((standings, i) => panelOf(standings, names + i * (panel + gap), height)),
    `<text class="small quiet" x="${names}" y="${height - 8}">dot and bar: mean and 95 % interval of the seeds; hollow: does not learn; dashed: before training; band: GRPO</text>`,
    "</svg>",
  ].join("\n")}\n`;
}
