/** @file `troupe runs`: the runs of a folder, newest first. */

import type { Command } from "commander";
import { formatSeconds } from "../trainer/reporter.ts";
import { type RunRecord, readRuns } from "../trainer/run-record.ts";
import { print, printJson } from "./command-output.ts";
import { table } from "./table.ts";

/** One run, in the words of the table. */
export interface RunRow {
  readonly name: string;
  readonly state: RunRecord["state"];
  readonly step: number;
  readonly steps: number;
  /** Mean training reward of the newest step. */
  readonly reward: number | null;
  /** First metric of the first and of the newest evaluation. */
  readonly heldOut: { readonly metric: string; readonly first: number; readonly last: number } | null;
  /** ISO 8601. */
  readonly began: string;
  readonly seconds: number;
  readonly path: string;
}

export function runRow(run: RunRecord): RunRow {
  const [metric] = Array.isArray(run.config.metrics) ? (run.config.metrics as string[]) : [];
  const measured = run.evaluations.flatMap((one) => {
    const value = metric === undefined ? undefined : one[metric];
    return typeof value === "number" ? [value] : [];
  });
  return {
    name: run.name,
    state: run.state,
    step: run.steps.at(-1)?.step ?? 0,
    steps: Number(run.config.steps),
    reward: run.steps.at(-1)?.reward.mean ?? null,
    heldOut:
      metric === undefined || measured.length === 0
        ? null
        : { metric, first: measured[0]!, last: measured.at(-1)! },
    began: run.began.toISOString(),
    seconds: run.summary?.seconds ?? run.timings.reduce((sum, { seconds }) => sum + seconds, 0),
    path: run.path,
  };
}

export function describeRuns(rows: readonly RunRow[]): string {
  return table(
    ["run", "state", "step", "reward", "held-out", "began", "time"],
    rows.map(({ name, state, step, steps, reward, heldOut, began, seconds }) => [
      name,
      state,
      `${step}/${steps}`,
      reward === null ? "" : reward.toFixed(3),
      heldOut === null ? "" : `${heldOut.metric} ${heldOut.first.toFixed(3)} → ${heldOut.last.toFixed(3)}`,
      `${began.slice(0, 10)} ${began.slice(11, 16)}`,
      formatSeconds(seconds),
    ]),
    ["step", "reward"],
  );
}

export function registerRuns(program: Command): void {
  program
    .command("runs")
    .description("list the runs of a folder: state, steps, reward, held-out metric")
    .option("--runs-folder <folder>", "where runs are kept", "runs")
    .option("--json", "print them as a JSON list")
    .action(async ({ runsFolder, json }: { readonly runsFolder: string; readonly json?: boolean }) => {
      const rows = (await readRuns(runsFolder)).map(runRow);
      if (json === true) printJson(rows);
      else if (rows.length === 0)
        print(`There are no runs in ${runsFolder}. \`troupe train <file>\` makes one.`);
      else print(`${describeRuns(rows)}\n\nTimes are UTC. \`troupe show <run>\` tells more of one.`);
    });
}
