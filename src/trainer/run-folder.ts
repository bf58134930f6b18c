/**
 * @file The folder of a run: `config.json`, append-only `metrics.jsonl` and `timings.jsonl`, `episodes/`, `checkpoints/`,
 * `journal/`, `summary.json`. Metrics hold only what the seed decides, so two runs of one seed can be compared byte by
 * byte; times are in a file of their own. The folder of a run that did not end is gone on with. See docs/run-folder.md.
 */

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TroupeError } from "../errors.ts";
import { crashPoint } from "../store/crash-point.ts";
import { writeDurably } from "../store/durable.ts";
import { type StoreError, writeFault } from "../store/errors.ts";
import { type Checkpoint, newestCheckpoint } from "./checkpoint.ts";
import { RunFolderError } from "./errors.ts";
import { MetricsLog } from "./metrics-log.ts";
import { claimFolder, refuseActive, releaseFolder, removeLock, writeLock } from "./run-lock.ts";
import { type ConfigRecord, refuseChanged } from "./same-run.ts";

export interface RunFolderOptions {
  readonly runsFolder: string;
  readonly name: string;
  readonly config: ConfigRecord;
  /** Begin anew, whatever is there. */
  readonly fresh: boolean;
  readonly warn: (text: string) => void;
}

export interface OpenedRunFolder {
  readonly folder: RunFolder;
  /** Where an earlier run of the name is now. */
  readonly movedTo: string | undefined;
  /** The folder holds the beginning of this run. */
  readonly continued: boolean;
  /** Where it goes on; undefined at the very beginning. */
  readonly checkpoint: Checkpoint | undefined;
}

export class RunFolder {
  readonly path: string;
  readonly #metrics: MetricsLog;
  readonly #timings: MetricsLog;
  readonly #pending = new Set<Promise<void>>();
  #failure: StoreError | undefined;

  private constructor(path: string, metrics: MetricsLog, timings: MetricsLog) {
    this.path = path;
    this.#metrics = metrics;
    this.#timings = timings;
  }

  /**
   * Opens `runs/<name>`. An unfinished run of the same configuration goes on there, from its newest good checkpoint. A
   * finished one is moved aside to the first free `<name>-1`, `<name>-2`, …, so that the name always means the newest run
   * and nothing is lost.
   *
   * @throws RunFolderError if a run is going on there, or an unfinished one has another configuration.
   */
  static async open(options: RunFolderOptions): Promise<OpenedRunFolder> {
    const { runsFolder, name, config, fresh, warn } = options;
    const path = join(runsFolder, name);
    claimFolder(path);
    try {
      await refuseActive(path);
      const unfinished = fresh ? undefined : await unfinishedConfig(path);
      if (unfinished !== undefined) refuseChanged(path, unfinished, config);
      let movedTo: string | undefined;
      if (unfinished === undefined && existsSync(path) && !(await isUnused(path))) {
        movedTo = firstFree(path);
        await rename(path, movedTo);
      }
      await mkdir(path, { recursive: true });
      await writeLock(path);
      await mkdir(join(path, "episodes"), { recursive: true });
      await mkdir(join(path, "checkpoints"), { recursive: true });
      crashPoint("run folder before config");
      if (unfinished === undefined) await writeConfig(path, config);
      crashPoint("run folder ready");
      const found = await newestCheckpoint(join(path, "checkpoints"), warn);
      // A run that was stopped before its first step has nothing to go on from but its journal.
      const checkpoint = found?.state.step === 0 ? undefined : found;
      const { metrics, timings } = checkpoint?.state.files ?? { metrics: 0, timings: 0 };
      const folder = new RunFolder(
        path,
        await MetricsLog.open(join(path, "metrics.jsonl"), metrics),
        await MetricsLog.open(join(path, "timings.jsonl"), timings),
      );
      await rm(join(path, "summary.json"), { force: true });
      return { folder, movedTo, continued: unfinished !== undefined, checkpoint };
    } catch (error) {
      releaseFolder(path);
      throw folderError(path, error);
    }
  }

  /** Bytes of the append-only files: what a checkpoint remembers. */
  get lengths(): { readonly metrics: number; readonly timings: number } {
    return { metrics: this.#metrics.length, timings: this.#timings.length };
  }

  /** Replaces `config.json`. @throws StoreError */
  config(config: ConfigRecord): Promise<void> {
    return writeConfig(this.path, config);
  }

  get journal(): string {
    return join(this.path, "journal");
  }

  get checkpoints(): string {
    return join(this.path, "checkpoints");
  }

  /** Appends one line of facts that the seed decides. @throws StoreError, also of an earlier write */
  async metrics(facts: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await this.#metrics.append(facts);
  }

  /** Appends one line of times and rates. */
  timings(facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#timings.append(facts);
  }

  /** Writes `episodes/<name>.jsonl` while the run goes on; a failure surfaces at the next write. */
  episodes(name: string, lines: readonly string[]): void {
    const path = join(this.path, "episodes", `${name}.jsonl`);
    const writing = writeFile(path, `${lines.join("\n")}\n`).catch((error) => {
      this.#failure ??= writeFault(path, error);
    });
    this.#pending.add(writing);
    writing.finally(() => this.#pending.delete(writing));
  }

  /** Resolves once all that was written so far will outlive the process. @throws StoreError */
  async flush(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#failure !== undefined) throw this.#failure;
    await this.#metrics.flush();
    await this.#timings.flush();
  }

  /** Written whole or not at all. @throws StoreError */
  async summary(facts: Readonly<Record<string, unknown>>): Promise<void> {
    await this.flush();
    crashPoint("summary before rename");
    await writeDurably(join(this.path, "summary.json"), `${JSON.stringify(facts, undefined, 2)}\n`);
    crashPoint("after summary");
  }

  async close(): Promise<void> {
    await Promise.all(this.#pending);
    await this.#metrics.close();
    await this.#timings.close();
    await removeLock(this.path);
    releaseFolder(this.path);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function writeConfig(path: string, config: ConfigRecord): Promise<void> {
  return writeDurably(join(path, "config.json"), `${JSON.stringify(config, undefined, 2)}\n`);
}

/** The configuration of a run that has begun and not come to its end, or undefined. */
export async function unfinishedConfig(path: string): Promise<ConfigRecord | undefined> {
  const config = await readJson(join(path, "config.json"));
  if (config === undefined) return undefined;
  const summary = await readJson(join(path, "summary.json"));
  return summary === undefined || summary.interrupted === true ? config : undefined;
}

/** Where a process died before it wrote anything. */
async function isUnused(path: string): Promise<boolean> {
  const own: ReadonlySet<string> = new Set(["run.lock", "episodes", "checkpoints", "config.json.partial"]);
  const inside = async (name: string) => (await readdir(join(path, name)).catch(() => [])).length;
  return (
    (await readdir(path)).every((name) => own.has(name)) &&
    (await inside("episodes")) + (await inside("checkpoints")) === 0
  );
}

/** Undefined if there is none. @throws RunFolderError if it is not JSON. */
async function readJson(path: string): Promise<ConfigRecord | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as ConfigRecord;
  } catch (cause) {
    throw new RunFolderError({
      code: "E_RUN_FOLDER",
      message: `${path} is not JSON.`,
      hint: "put it back as it was, or begin anew with --fresh.",
      cause,
      facts: { path },
    });
  }
}

function firstFree(path: string): string {
  let number = 1;
  while (existsSync(`${path}-${number}`)) number++;
  return `${path}-${number}`;
}

function folderError(path: string, error: unknown): TroupeError {
  if (TroupeError.is(error)) return error;
  return new RunFolderError({
    code: "E_RUN_FOLDER",
    message: `The run folder ${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    hint: "check free space and rights, or choose another place with `runsFolder`.",
    cause: error,
  });
}
