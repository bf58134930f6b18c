/** @file What the results come to: for each task a row an entry, in the order of the entries. */

import type { LeagueEntry } from "./entries.ts";
import type { LeagueTask } from "./league-task.ts";
import { chosenRate, leagueOrders, type Results, resultOf } from "./plan.ts";
import type { RaceFailure, RaceResult } from "./race.ts";
import { isFailure } from "./results.ts";
import { apart, type Estimate, estimate, meanHeight } from "./statistics.ts";

/** Whom everybody is compared with. */
export const yardsticks = ["reinforce", "grpo"] as const;

export interface Standing {
  readonly method: string;
  readonly rate: number;
  /** Held-out score at the end. */
  readonly score: Estimate;
  /** Mean height of the learning curve over the budget: who is early is ahead. */
  readonly height: Estimate;
  /** Score at the end less score at the start, within a run. */
  readonly gain: Estimate;
  /** False: the gain's interval is not above 0. */
  readonly learns: boolean;
  /** Yardsticks whose interval of the score does not overlap this one's. */
  readonly apart: readonly { readonly from: string; readonly where: "above" | "below" }[];
  readonly steps: number;
  readonly episodes: number;
  readonly sampledTokens: number;
  readonly stepsWithoutUpdate: number;
  readonly groupsWithoutSignal: number;
  readonly seconds: number;
  readonly failures: readonly RaceFailure[];
}

/** An entry without results, and why. */
export interface Absence {
  readonly method: string;
  readonly absent: string;
}

export interface TaskStandings {
  readonly task: LeagueTask;
  readonly budget: number;
  /** Mean held-out score before training; the starter is the same for all. */
  readonly before: number | undefined;
  readonly rows: readonly (Standing | Absence)[];
}

export const isStanding = (row: Standing | Absence): row is Standing => "score" in row;

export function standings(
  results: Results,
  task: LeagueTask,
  entries: readonly LeagueEntry[],
  seeds: readonly number[],
  budget = task.budget,
): TaskStandings {
  const rows = entries.map((entry) => standing(results, task, entry, seeds, budget));
  const found = rows.filter(isStanding);
  return {
    task,
    budget,
    before: found.length === 0 ? undefined : mean(found.map(({ score, gain }) => score.mean - gain.mean)),
    rows: rows.map((row) =>
      isStanding(row) ? { ...row, apart: yardsticks.flatMap((name) => compare(row, name, found)) } : row,
    ),
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function standing(
  results: Results,
  task: LeagueTask,
  entry: LeagueEntry,
  seeds: readonly number[],
  budget: number,
): Standing | Absence {
  const method = entry.name;
  const rate = chosenRate(results, task, entry, budget);
  if (rate === undefined) return { method, absent: tuningFault(results, task, entry) };
  const lines = leagueOrders(task, entry, rate, seeds, budget)
    .map((order) => resultOf(results, task, entry, order))
    .filter((line) => line !== undefined);
  const failures = lines.filter(isFailure);
  const runs = lines.filter((line): line is RaceResult => !isFailure(line));
  if (runs.length === 0) return { method, absent: failures[0]?.error ?? "not run" };
  const gain = estimate(runs.map(({ before, after }) => after - before));
  return {
    method,
    rate,
    score: estimate(runs.map(({ after }) => after)),
    height: estimate(runs.map(({ curve }) => meanHeight(curve, budget))),
    gain,
    learns: (gain.interval?.[0] ?? gain.mean) > 0,
    apart: [],
    steps: mean(runs.map(({ steps }) => steps)),
    episodes: mean(runs.map(({ episodes }) => episodes)),
    sampledTokens: mean(runs.map(({ sampledTokens }) => sampledTokens)),
    stepsWithoutUpdate: mean(runs.map(({ stepsWithoutUpdate }) => stepsWithoutUpdate)),
    groupsWithoutSignal: mean(runs.map(({ groupsWithoutSignal }) => groupsWithoutSignal)),
    seconds: mean(runs.map(({ seconds }) => seconds)),
    failures,
  };
}

/** Why an entry has no learning rate. */
function tuningFault(results: Results, task: LeagueTask, entry: LeagueEntry): string {
  for (const line of results.values()) {
    if (line.task === task.name && line.method === entry.name && isFailure(line)) return line.error;
  }
  return "not run";
}

function compare(row: Standing, name: string, rows: readonly Standing[]): Standing["apart"] {
  const yardstick = rows.find(({ method }) => method === name);
  if (yardstick === undefined || yardstick === row) return [];
  const where = apart(row.score, yardstick.score);
  return where === undefined ? [] : [{ from: name, where }];
}
