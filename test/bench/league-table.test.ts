/** @file What the league's results come to: rates, means and intervals, marks, page and chart. */

import { expect, test } from "vitest";
import { chart } from "../../bench/league/chart.ts";
import { corridor } from "../../bench/league/corridor.ts";
import type { LeagueEntry } from "../../bench/league/entries.ts";
import { type LeagueTask, leagueSeeds } from "../../bench/league/league-task.ts";
import { filledPage, taskTable } from "../../bench/league/markdown.ts";
import { chosenRate, leagueOrders, tuningOrders } from "../../bench/league/plan.ts";
import { type RaceFailure, type RaceOrder, type RaceResult, raceKey } from "../../bench/league/race.ts";
import { isStanding, type Standing, standings } from "../../bench/league/standings.ts";
import { apart, estimate, meanHeight } from "../../bench/league/statistics.ts";
import { grpo } from "../../src/methods/grpo.ts";

const entry = (name: string): LeagueEntry => ({ name, method: () => grpo() });
const task: LeagueTask = { ...corridor, title: "Corridor: a <test>", budget: 1000 };

function lineOf(
  order: RaceOrder,
  of: LeagueEntry,
  after: number,
  more: Partial<RaceResult> = {},
): RaceResult {
  return {
    ...order,
    key: raceKey(order, task, of.method()),
    settings: {},
    sampledTokens: 1000,
    steps: 4,
    episodes: 32,
    before: 0.1,
    after,
    curve: [
      [0, 0.1],
      [1000, after],
    ],
    rewards: [0.1, after],
    stepsWithoutUpdate: 0,
    groupsWithoutSignal: 0.25,
    seconds: 1,
    ...more,
  };
}

const collected = (lines: readonly (RaceResult | RaceFailure)[]) =>
  new Map(lines.map((line) => [line.key, line]));

/** Tuning that finds the middle rate, and the scores of the five seeds. */
function runsOf(of: LeagueEntry, scores: readonly number[]): RaceResult[] {
  const tuned = tuningOrders(task, of).map((order) =>
    lineOf(order, of, order.rate === task.rates[1] ? 0.9 : 0.2),
  );
  const raced = leagueOrders(task, of, task.rates[1], leagueSeeds).map((order, i) =>
    lineOf(order, of, scores[i]!),
  );
  return [...tuned, ...raced];
}

test("Student's interval", () => {
  const { mean, interval, n } = estimate([1, 2, 3, 4, 5]);
  expect([mean, n]).toEqual([3, 5]);
  // 2.776 · 1.581139 / √5
  expect(interval![0]).toBeCloseTo(3 - 1.96293, 4);
  expect(interval![1]).toBeCloseTo(3 + 1.96293, 4);
  // 12.706 · 0.707107 / √2
  expect(estimate([0, 1]).interval![1]).toBeCloseTo(0.5 + 6.353, 3);
  expect(estimate([0.5]).interval).toBeUndefined();
  expect(estimate([2, 2, 2]).interval).toEqual([2, 2]);
  expect(estimate(Array.from({ length: 40 }, (_, i) => i % 2)).interval![1]).toBeCloseTo(0.6635, 3);
  expect(() => estimate([])).toThrow(RangeError);
});

test("apart: only where intervals do not touch", () => {
  const at = (low: number, high: number) => ({
    n: 5,
    mean: (low + high) / 2,
    interval: [low, high] as const,
  });
  expect(apart(at(2, 3), at(0, 1))).toBe("above");
  expect(apart(at(0, 1), at(2, 3))).toBe("below");
  expect(apart(at(0, 1), at(1, 3))).toBeUndefined();
  expect(apart(at(1, 3), at(0, 1))).toBeUndefined();
  expect(apart(at(0, 4), at(1, 3))).toBeUndefined();
  expect(apart({ n: 1, mean: 9, interval: undefined }, at(0, 1))).toBeUndefined();
});

test("mean height of a curve", () => {
  expect(meanHeight([[0, 0.5]], 100)).toBe(0.5);
  expect(
    meanHeight(
      [
        [0, 0],
        [100, 1],
      ],
      100,
    ),
  ).toBe(0.5);
  // Level after the last point: a triangle over half the budget, then 1.
  expect(
    meanHeight(
      [
        [0, 0],
        [50, 1],
      ],
      100,
    ),
  ).toBe(0.75);
  // What lies beyond the budget does not count: half of the way up at its end.
  expect(
    meanHeight(
      [
        [0, 0],
        [200, 1],
      ],
      100,
    ),
  ).toBe(0.25);
  // Two evaluations at one place: the later one counts from there.
  expect(
    meanHeight(
      [
        [0, 0],
        [50, 0],
        [50, 1],
        [100, 1],
      ],
      100,
    ),
  ).toBe(0.5);
  expect(() => meanHeight([], 100)).toThrow(RangeError);
});

test("the rate is the best on the tuning seeds; the middle one of equals; none while one is missing", () => {
  const one = entry("one");
  const orders = tuningOrders(task, one);
  expect(orders).toHaveLength(6);
  const with_ = (score: (order: RaceOrder) => number) =>
    collected(orders.map((order) => lineOf(order, one, score(order))));
  expect(
    chosenRate(
      with_(({ rate }) => (rate === task.rates[2] ? 0.4 : 0.3)),
      task,
      one,
    ),
  ).toBe(task.rates[2]);
  expect(
    chosenRate(
      with_(() => 0.3),
      task,
      one,
    ),
  ).toBe(task.rates[1]);
  const means = [0.2, 0.1, 0.2];
  expect(
    chosenRate(
      with_(({ rate }) => means[task.rates.indexOf(rate)]!),
      task,
      one,
    ),
  ).toBe(task.rates[0]);
  expect(chosenRate(collected([...with_(() => 0.3).values()].slice(1)), task, one)).toBeUndefined();
});

test("a rate that failed is out, and so is an entry whose rates all failed", () => {
  const one = entry("one");
  const lines = tuningOrders(task, one).map((order) => lineOf(order, one, order.rate));
  const failed = (of: (line: RaceResult) => boolean) =>
    collected(
      lines.map((line) => {
        const { task: name, method, seed, rate, budget, key } = line;
        return of(line) ? { task: name, method, seed, rate, budget, key, error: "E_LOSS: not finite" } : line;
      }),
    );
  expect(
    chosenRate(
      failed(({ rate, seed }) => rate === task.rates[2] && seed === 102),
      task,
      one,
    ),
  ).toBe(task.rates[1]);
  const all = failed(() => true);
  expect(chosenRate(all, task, one)).toBeUndefined();
  expect(standings(all, task, [one], leagueSeeds).rows).toEqual([
    { method: "one", absent: "E_LOSS: not finite" },
  ]);
});

const baseline = entry("grpo");
const better = entry("better");
const stuck = entry("stuck");
const missing = entry("missing");
const all = standings(
  collected([
    ...runsOf(baseline, [0.5, 0.52, 0.48, 0.51, 0.49]),
    ...runsOf(better, [0.8, 0.82, 0.78, 0.81, 0.79]),
    ...runsOf(stuck, [0.1, 0.3, 0.05, 0.1, 0.1]).slice(0, -1),
  ]),
  task,
  [baseline, better, stuck, missing],
  leagueSeeds,
);
const row = (name: string): Standing => {
  const found = all.rows.find(({ method }) => method === name)!;
  if (!isStanding(found)) throw new Error(found.absent);
  return found;
};

test("standings: order of the entries, what is apart from GRPO, and what does not learn", () => {
  expect(all.rows.map(({ method }) => method)).toEqual(["grpo", "better", "stuck", "missing"]);
  expect(all.before).toBeCloseTo(0.1, 12);
  expect(row("grpo")).toMatchObject({ rate: task.rates[1], learns: true, apart: [], steps: 4 });
  expect(row("grpo").score.mean).toBeCloseTo(0.5, 12);
  expect(row("grpo").height.mean).toBeCloseTo(0.3, 12);
  expect(row("better").apart).toEqual([{ from: "grpo", where: "above" }]);
  expect(row("stuck")).toMatchObject({ learns: false, apart: [{ from: "grpo", where: "below" }] });
  expect(row("stuck").score.n).toBe(4);
  expect(all.rows[3]).toEqual({ method: "missing", absent: "not run" });
});

test("the table says all of it in a row", () => {
  const table = taskTable(all, leagueSeeds.length);
  const rows = table.split("\n").filter((line) => line.startsWith("| "));
  expect(new Set(rows.map((line) => line.split("|").length)).size).toBe(1);
  expect(table).toContain("1,000 sampled tokens a run, through before training 0.100.");
  expect(rows.find((line) => line.startsWith("| grpo"))).toBe(
    `| grpo | ${task.rates[1]} | 0.500 [0.480, 0.520] | 0.300 [0.290, 0.310] | 1.0k | 4 | 25 % |  |`,
  );
  expect(rows.find((line) => line.startsWith("| better"))).toContain("above grpo");
  expect(rows.find((line) => line.startsWith("| stuck"))).toMatch(
    /below grpo; \*\*does not learn\*\*; 4 of 5 seeds/,
  );
  expect(rows.find((line) => line.startsWith("| missing"))).toContain("not run");
});

test("the page keeps what is around the tables, and is filled again in the same place", () => {
  const page = "# League\n\n<!-- league:begin -->\nold\n<!-- league:end -->\n\nafter\n";
  const filled = filledPage(page, ["one", "two"]);
  expect(filled).toBe("# League\n\n<!-- league:begin -->\n\none\n\ntwo\n\n<!-- league:end -->\n\nafter\n");
  expect(filledPage(filled, ["one", "two"])).toBe(filled);
  expect(() => filledPage("# League", ["one"])).toThrow("league:begin");
});

test("the chart is well-formed, says in words what it shows, and loads nothing", () => {
  const svg = chart([all, { ...all, rows: [], before: undefined }]);
  const open: string[] = [];
  for (const [, closing, name, rest] of svg.matchAll(/<(\/?)([\w]+)((?:[^<>"]|"[^"]*")*)>/g)) {
    if (closing === "/") expect(open.pop()).toBe(name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  expect(open).toEqual([]);
  expect(svg).not.toMatch(/NaN|undefined|url\(|@import|href|<script/);
  expect(svg).toContain("a &lt;test&gt;");
  expect(svg).toContain("prefers-color-scheme: dark");
  expect(svg).toMatch(
    /<desc[^>]*>corridor: grpo 0\.50, better 0\.80, stuck 0\.1\d \(does not learn\), missing/,
  );
  expect(svg.match(/class="none"/g)).toHaveLength(1);
  expect(svg.match(/class="learns"/g)).toHaveLength(2);
});
