/**
 * @file Which runs the league is made of. Every method is first run with each of the task's three learning rates on the
 * tuning seeds; the rate with the best mean score is its own, and the league's seeds are run with that.
 */

import type { LeagueEntry } from "./entries.ts";
import { type LeagueTask, tuningSeeds } from "./league-task.ts";
import { type RaceFailure, type RaceOrder, type RaceResult, raceKey } from "./race.ts";
import { isFailure } from "./results.ts";

export type Results = ReadonlyMap<string, RaceResult | RaceFailure>;

const order = (
  task: LeagueTask,
  entry: LeagueEntry,
  seed: number,
  rate: number,
  budget: number,
): RaceOrder => ({
  task: task.name,
  method: entry.name,
  seed,
  rate,
  budget,
});

export function tuningOrders(
  task: LeagueTask,
  entry: LeagueEntry,
  budget = task.budget,
): readonly RaceOrder[] {
  const seeds = task.tuningSeeds ?? tuningSeeds;
  return task.rates.flatMap((rate) => seeds.map((seed) => order(task, entry, seed, rate, budget)));
}

export function leagueOrders(
  task: LeagueTask,
  entry: LeagueEntry,
  rate: number,
  seeds: readonly number[],
  budget = task.budget,
): readonly RaceOrder[] {
  return seeds.map((seed) => order(task, entry, seed, rate, budget));
}

/** What is known of an order. */
export function resultOf(
  results: Results,
  task: LeagueTask,
  entry: LeagueEntry,
  asked: RaceOrder,
): RaceResult | RaceFailure | undefined {
  return results.get(raceKey(asked, task, entry.method()));
}

/**
 * The rate with the best mean score on the tuning seeds; of equals the one nearest the middle, then the smaller. A rate
 * that failed on a seed is out. Undefined while a tuning run is missing, or where all rates failed.
 */
export function chosenRate(
  results: Results,
  task: LeagueTask,
  entry: LeagueEntry,
  budget = task.budget,
): number | undefined {
  const means = task.rates.map((rate) => {
    const lines = tuningOrders(task, entry, budget)
      .filter((asked) => asked.rate === rate)
      .map((asked) => resultOf(results, task, entry, asked));
    if (lines.some((line) => line === undefined)) return undefined;
    const scores = lines.flatMap((line) => (line === undefined || isFailure(line) ? [] : [line.after]));
    if (scores.length < lines.length) return Number.NEGATIVE_INFINITY;
    return scores.reduce((sum, score) => sum + score, 0) / scores.length;
  });
  if (means.some((mean) => mean === undefined)) return undefined;
  const best = Math.max(...(means as number[]));
  if (best === Number.NEGATIVE_INFINITY) return undefined;
  return [1, 0, 2].map((i) => ({ rate: task.rates[i]!, mean: means[i]! })).find(({ mean }) => mean === best)!
    .rate;
}
