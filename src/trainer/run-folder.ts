/**
 * @file The folder of a run: `config.json`, append-only `metrics.jsonl` and `timings.jsonl`, `episodes/`, `checkpoints/`,
 * `summary.json`. Metrics hold only what the seed decides, so two runs of one seed can be compared byte by byte; times
 * are in a file of their own.
 */

import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { TroupeError } from "../errors.ts";
import { RunFolderError } from "./errors.ts";

/** Folders in which this process is running; other processes are told by `run.lock`. */
const active = new Set<string>();

export class RunFolder {
  readonly path: string;
  readonly #metrics: FileHandle;
  readonly #timings: FileHandle;
  readonly #pending = new Set<Promise<void>>();
  #failure: Error | undefined;

  private constructor(path: string, metrics: FileHandle, timings: FileHandle) {
    this.path = path;
    this.#metrics = metrics;
    this.#timings = timings;
  }

  /**
   * Makes `runs/<name>`. A folder of that name is moved aside to the first free `<name>-1`, `<name>-2`, …, so that the
   * name always means the newest run and nothing is lost. A folder in which a run is going on is refused.
   */
  static async create(
    runsFolder: string,
    name: string,
    config: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly folder: RunFolder; readonly movedTo: string | undefined }> {
    const path = join(runsFolder, name);
    let movedTo: string | undefined;
    if (active.has(resolve(path))) throw activeError(path, process.pid);
    active.add(resolve(path));
    try {
      if (existsSync(path)) {
        await refuseActive(path);
        movedTo = firstFree(path);
        await rename(path, movedTo);
      }
      await mkdir(path, { recursive: true });
      await writeFile(join(path, "run.lock"), String(process.pid), { flag: "wx" });
      await mkdir(join(path, "episodes"));
      await mkdir(join(path, "checkpoints"));
      await writeFile(join(path, "config.json"), `${JSON.stringify(config, undefined, 2)}\n`);
      const folder = new RunFolder(
        path,
        await open(join(path, "metrics.jsonl"), "a"),
        await open(join(path, "timings.jsonl"), "a"),
      );
      return { folder, movedTo };
    } catch (error) {
      active.delete(resolve(path));
      throw folderError(path, error);
    }
  }

  /** Appends one line of facts that the seed decides. */
  metrics(facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#append(this.#metrics, facts);
  }

  /** Appends one line of times and rates. */
  timings(facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#append(this.#timings, facts);
  }

  /** Writes `episodes/<name>.jsonl` while the run goes on; a failure surfaces at the next write. */
  episodes(name: string, lines: readonly string[]): void {
    const writing = writeFile(join(this.path, "episodes", `${name}.jsonl`), `${lines.join("\n")}\n`).catch(
      (error) => {
        this.#failure ??= folderError(this.path, error);
      },
    );
    this.#pending.add(writing);
    writing.finally(() => this.#pending.delete(writing));
  }

  /** Written whole or not at all. */
  async summary(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const target = join(this.path, "summary.json");
    try {
      await writeFile(`${target}.partial`, `${JSON.stringify(facts, undefined, 2)}\n`);
      await rename(`${target}.partial`, target);
    } catch (error) {
      throw folderError(this.path, error);
    }
  }

  /** Fills a checkpoint folder, adds `state.json`, and gives it its name only when it is complete. */
  async checkpoint(
    step: number,
    state: Readonly<Record<string, unknown>>,
    fill: (folder: string) => Promise<void>,
  ): Promise<string> {
    const target = join(this.path, "checkpoints", `step-${String(step).padStart(6, "0")}`);
    const partial = `${target}.partial`;
    try {
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true });
      await fill(partial);
      await writeFile(join(partial, "state.json"), `${JSON.stringify(state, undefined, 2)}\n`);
      await rm(target, { recursive: true, force: true });
      await rename(partial, target);
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw TroupeError.is(error) ? error : folderError(target, error);
    }
    return target;
  }

  async close(): Promise<void> {
    await Promise.all(this.#pending);
    await this.#metrics.close();
    await this.#timings.close();
    await rm(join(this.path, "run.lock"), { force: true });
    active.delete(resolve(this.path));
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #append(file: FileHandle, facts: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await file.appendFile(`${JSON.stringify(facts)}\n`);
    } catch (error) {
      throw folderError(this.path, error);
    }
  }
}

function firstFree(path: string): string {
  let number = 1;
  while (existsSync(`${path}-${number}`)) number++;
  return `${path}-${number}`;
}

async function refuseActive(path: string): Promise<void> {
  const lock = join(path, "run.lock");
  if (!existsSync(lock)) return;
  const pid = Number(await readFile(lock, "utf8"));
  // A lock of this very process in a folder that is not active is left over from an earlier one of the same number.
  if (pid !== process.pid && Number.isInteger(pid) && pid > 0 && isAlive(pid)) throw activeError(path, pid);
}

function activeError(path: string, pid: number): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_ACTIVE",
    message: `A run is going on in ${path} (process ${pid}).`,
    hint: `choose another name with --run, or remove ${join(path, "run.lock")} if that process is not a run.`,
    facts: { path, pid },
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function folderError(path: string, error: unknown): RunFolderError {
  if (error instanceof RunFolderError) return error;
  return new RunFolderError({
    code: "E_RUN_FOLDER",
    message: `The run folder ${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    hint: "check free space and rights, or choose another place with `runsFolder`.",
    cause: error,
  });
}
