/** @file Reads the folder of a run, whatever became of the run: for `troupe runs`, `troupe show` and the dashboard. */

import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { TroupeError } from "../errors.ts";
import { readTrajectory } from "../workflow/trajectory-json.ts";
import { checkpointSteps } from "./checkpoint.ts";
import { RunFolderError } from "./errors.ts";
import { refuseActive } from "./run-lock.ts";
import type { StepMetrics, StepTimings } from "./step-metrics.ts";
import type { RunSummary } from "./summary.ts";

/** What became of a run. Closed. */
export type RunState =
  /** A process is training in the folder. */
  | "running"
  /** Came to its last step. */
  | "finished"
  /** Stopped by Ctrl-C, saved; the same command goes on. */
  | "interrupted"
  /** Its process is gone without a word (killed, power); the same command goes on. */
  | "crashed"
  /** Ended with an error. */
  | "failed";

/** A line of `metrics.jsonl` about an evaluation. Metrics by name stand beside these. */
export interface EvaluationMetrics {
  readonly kind: "evaluation";
  readonly when: "before" | "during" | "after";
  readonly step: number;
  readonly n: number;
  readonly failed: number;
  readonly [name: string]: unknown;
}

export interface RunRecord {
  readonly path: string;
  readonly name: string;
  readonly state: RunState;
  /** When it began: the time of `config.json`. */
  readonly began: Date;
  readonly config: Readonly<Record<string, unknown>>;
  readonly steps: readonly StepMetrics[];
  readonly timings: readonly StepTimings[];
  readonly evaluations: readonly EvaluationMetrics[];
  readonly summary: RunSummary | undefined;
  /** Newest first. */
  readonly checkpoints: readonly number[];
  /** Names of the episode files, without ".jsonl". */
  readonly episodeFiles: readonly string[];
}

/** A recorded episode as it was read, with the advantages of its calls where it was trained on. */
export type RecordedEpisode = ReturnType<typeof readTrajectory> & {
  readonly advantages?: Readonly<Record<string, unknown>>;
};

/** True for a folder that a run has made. */
export const isRunFolder = (path: string): boolean => existsSync(join(path, "config.json"));

/** @throws RunFolderError if it is no run, or a file of it is damaged. */
export async function readRun(path: string): Promise<RunRecord> {
  const folder = path.replace(/(?<=.)[/\\]+$/, "");
  if (!isRunFolder(folder)) {
    throw new RunFolderError({
      code: "E_RUN_MISSING",
      message: `There is no run in ${folder}.`,
      hint: "`troupe runs` lists the runs; give a name from there, or a folder.",
      facts: { path: folder },
    });
  }
  const lines = await jsonLines(join(folder, "metrics.jsonl"));
  const timings = await jsonLines(join(folder, "timings.jsonl"));
  const summary = (await json(join(folder, "summary.json"))) as RunSummary | undefined;
  const episodes = await readdir(join(folder, "episodes")).catch(() => []);
  return {
    path: folder,
    name: basename(folder),
    state: await stateOf(folder, summary),
    began: (await stat(join(folder, "config.json"))).mtime,
    config: (await json(join(folder, "config.json"))) as Readonly<Record<string, unknown>>,
    // Written by `TrainingLoop`; `kind` tells them apart.
    steps: lines.filter(({ kind }) => kind === "step") as unknown as readonly StepMetrics[],
    timings: timings.filter(({ kind }) => kind === "step") as unknown as readonly StepTimings[],
    evaluations: lines.filter(({ kind }) => kind === "evaluation") as EvaluationMetrics[],
    summary,
    checkpoints: await checkpointSteps(join(folder, "checkpoints")),
    episodeFiles: episodes
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => name.slice(0, -".jsonl".length))
      .sort(),
  };
}

async function stateOf(folder: string, summary: RunSummary | undefined): Promise<RunState> {
  try {
    await refuseActive(folder);
  } catch (error) {
    if (TroupeError.is(error) && error.code === "E_RUN_ACTIVE") return "running";
    throw error;
  }
  if (summary?.interrupted === false) return "finished";
  if (existsSync(join(folder, "run.lock"))) return "crashed";
  return summary === undefined ? "failed" : "interrupted";
}

/** The runs in a folder, newest first. A missing folder has none. */
export async function readRuns(runsFolder: string): Promise<readonly RunRecord[]> {
  const names = await readdir(runsFolder).catch(() => []);
  const paths = names.map((name) => join(runsFolder, name)).filter(isRunFolder);
  const runs = await Promise.all(paths.map(readRun));
  return runs.sort((left, right) => right.began.getTime() - left.began.getTime());
}

/** Episodes of a file of JSON lines. @throws EpisodeLineError naming the line, RunFolderError if there is no such file. */
export async function readEpisodes(file: string): Promise<readonly RecordedEpisode[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new RunFolderError({
      code: "E_EPISODE_FILE",
      message: `The episodes in ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      hint: "give a run, or a file of its episodes/ folder.",
      cause: error,
    });
  }
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      return [readTrajectory(line)];
    } catch (error) {
      if (!TroupeError.is(error)) throw error;
      throw new RunFolderError({
        code: "E_EPISODE_LINE",
        message: `${file}, line ${i + 1}: ${error.message.split("\n")[0]}`,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      });
    }
  });
}

async function json(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw damaged(file, error);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(file, error);
  }
}

/** A last line that is not whole is being written, or was torn: it is left out. */
async function jsonLines(file: string): Promise<Readonly<Record<string, unknown>>[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  const lines = text.split("\n");
  const torn = lines.pop();
  return [...lines, ...(isJson(torn) ? [torn!] : [])]
    .filter((line) => line !== "")
    .map((line, i) => {
      try {
        return JSON.parse(line) as Readonly<Record<string, unknown>>;
      } catch (error) {
        throw damaged(`${file}, line ${i + 1}`, error);
      }
    });
}

function isJson(text: string | undefined): boolean {
  try {
    JSON.parse(text ?? "");
    return true;
  } catch {
    return false;
  }
}

function damaged(place: string, cause: unknown): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_DAMAGED",
    message: `${place} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: "the file was changed or torn; the other files of the run may still be good.",
    cause,
  });
}
