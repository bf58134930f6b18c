/**
 * @file Draws a run's learning curve as SVG from its metrics: node scripts/plot-run.mjs runs/quickstart docs/images/atlas.svg
 * Thin line: mean training reward of each step. Dots: held-out evaluations, with 95 % intervals where they were computed.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [folder, target] = process.argv.slice(2);
const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const steps = lines
  .filter((line) => line.kind === "step")
  .map((line) => ({ x: line.step, y: line.reward.mean }));
const held = lines
  .filter((line) => line.kind === "evaluation")
  .map((line) => ({ x: line.step, y: line.f1, ci: line.ci?.f1 }));

const [width, height, left, bottom, top] = [720, 300, 48, 36, 18];
const last = Math.max(...steps.map((s) => s.x));
const x = (step) => left + (step / last) * (width - left - 24);
const y = (value) => height - bottom - value * (height - bottom - top);
const text = (at, up, content, more = "") => `<text x="${at}" y="${up}" ${more}>${content}</text>`;
const grid = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
  (v) =>
    `<line x1="${left}" x2="${width - 24}" y1="${y(v)}" y2="${y(v)}" stroke="#ddd"/>${text(left - 8, y(v) + 4, v.toFixed(1), 'text-anchor="end"')}`,
);
const ticks = Array.from({ length: 5 }, (_, i) => Math.round((last * i) / 4)).map((s) =>
  text(x(s), height - bottom + 18, s, 'text-anchor="middle"'),
);
const path = steps.map((s, i) => `${i ? "L" : "M"}${x(s.x).toFixed(1)},${y(s.y).toFixed(1)}`).join("");
const dots = held.map(({ x: step, y: value, ci }) => {
  const bar = ci
    ? `<line x1="${x(step)}" x2="${x(step)}" y1="${y(ci[0])}" y2="${y(ci[1])}" stroke="#c2410c" stroke-width="3"/>`
    : "";
  return `${bar}<circle cx="${x(step)}" cy="${y(value)}" r="${ci ? 5 : 3.5}" fill="#c2410c"/>`;
});

mkdirSync(dirname(target), { recursive: true });
writeFileSync(
  target,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<title>Learning curve: training reward and held-out F1 by step</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${grid.join("")}${ticks.join("")}
<path d="${path}" fill="none" stroke="#2563eb" stroke-width="1.5"/>
${dots.join("")}
${text(left + 8, top + 4, "training reward (word F1 of sampled answers)", 'fill="#2563eb"')}
${text(left + 290, top + 4, "held-out F1 (greedy; bars: 95 % interval)", 'fill="#c2410c"')}
${text(width - 24, height - 4, "step", 'text-anchor="end"')}
</svg>
`,
);
