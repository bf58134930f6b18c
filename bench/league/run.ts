/**
 * @file Runs the league, or the part of it that is asked for; what results.jsonl has is not run again.
 *
 *     npm run build && npx jiti bench/league/run.ts
 *     npx jiti bench/league/run.ts --task corridor --method grpo --method rloo --seeds 1,2 --jobs 2
 *
 * --task, --method   may be given several times. Default: all
 * --seeds 1,2,3      Default: 1 to 5
 * --jobs 1|2         processes side by side. Default 1; with 2, seconds of runs say little
 * --budget n         sampled tokens a run instead of the task's own: to try things out; another league altogether
 * --results file     Default: bench/league/results.jsonl
 * --runs folder      where run folders are made. Default: a temporary folder
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Side } from "../alternate.ts";
import { entries, entryNamed } from "./entries.ts";
import { leagueSeeds } from "./league-task.ts";
import { chosenRate, leagueOrders, resultOf, tuningOrders } from "./plan.ts";
import { type RaceFailure, type RaceOrder, type RaceResult, raceKey } from "./race.ts";
import { addResult, isFailure, readResults, resultsFile } from "./results.ts";
import { leagueTasks, taskNamed } from "./tasks.ts";

const { values: given } = parseArgs({
  options: {
    task: { type: "string", multiple: true },
    method: { type: "string", multiple: true },
    seeds: { type: "string", default: leagueSeeds.join(",") },
    jobs: { type: "string", default: "1" },
    budget: { type: "string" },
    results: { type: "string", default: resultsFile },
    runs: { type: "string" },
  },
});
const tasks = given.task?.map(taskNamed) ?? leagueTasks;
const methods = given.method?.map(entryNamed) ?? entries;
const integers = (text: string, option: string) =>
  text.split(",").map((part) => {
    if (!/^\d+$/.test(part)) throw new Error(`--${option} is ${text}; it takes whole numbers.`);
    return Number(part);
  });
const seeds = integers(given.seeds, "seeds");
const jobs = integers(given.jobs, "jobs")[0]!;
const budget = given.budget === undefined ? undefined : integers(given.budget, "budget")[0]!;

const results = await readResults(given.results);
const folder = given.runs ?? (await mkdtemp(join(tmpdir(), "league-")));
const jiti = fileURLToPath(new URL("../../node_modules/jiti/lib/jiti-cli.mjs", import.meta.url));
const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
let ran = 0;
const failures: RaceFailure[] = [];

/** Runs orders one after the other in a process of its own; if that dies, the run has failed and the next has a new one. */
class Runner {
  #side: Side | undefined;

  async run(order: RaceOrder, key: string): Promise<RaceResult | RaceFailure> {
    this.#side ??= new Side("league worker", process.execPath, [jiti, worker]);
    try {
      return (await this.#side.ask({ ...order, folder })) as unknown as RaceResult | RaceFailure;
    } catch (error) {
      this.close();
      return { ...order, key, error: error instanceof Error ? error.message : String(error) };
    }
  }

  close(): void {
    this.#side?.close();
    this.#side = undefined;
  }
}

function describe(line: RaceResult | RaceFailure): string {
  const what = `${line.task} · ${line.method} · rate ${line.rate} · seed ${line.seed}`;
  if (isFailure(line)) return `${what} · FAILED: ${line.error}`;
  const { before, after, sampledTokens, steps, seconds } = line;
  return `${what} · ${before.toFixed(3)} → ${after.toFixed(3)} · ${sampledTokens} tokens in ${steps} steps · ${seconds} s`;
}

/** One method on one task: its rates, then its seeds. */
async function compete(runner: Runner, { task, entry }: (typeof pairs)[number]): Promise<void> {
  const run = async (order: RaceOrder) => {
    const known = resultOf(results, task, entry, order);
    if (known !== undefined && !isFailure(known)) return;
    const line = await runner.run(order, raceKey(order, task, entry.method()));
    results.set(line.key, line);
    await addResult(given.results, line);
    ran++;
    if (isFailure(line)) failures.push(line);
    console.log(describe(line));
  };
  for (const order of tuningOrders(task, entry, budget)) await run(order);
  const rate = chosenRate(results, task, entry, budget);
  if (rate === undefined) {
    console.log(`${task.name} · ${entry.name} · no learning rate without a failed run: not in the league`);
    return;
  }
  for (const order of leagueOrders(task, entry, rate, seeds, budget)) await run(order);
}

const pairs = tasks.flatMap((task) => methods.map((entry) => ({ task, entry })));
const waiting = [...pairs];
await Promise.all(
  Array.from({ length: jobs }, async () => {
    const runner = new Runner();
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        await compete(runner, next);
    } finally {
      runner.close();
    }
  }),
);
// Folders of failed runs are kept: they say what happened.
if (given.runs === undefined && failures.length === 0) await rm(folder, { recursive: true, force: true });
console.log(
  `${ran} runs, ${failures.length} failed${failures.length === 0 ? "" : `; their folders are in ${folder}`}`,
);
if (failures.length > 0) process.exitCode = 1;
