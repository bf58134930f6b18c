/**
 * @file Verdicts that were paid for once: from a policy, its version and a prompt's hash to the judge's text. Bounded, the
 * least recently used go first; optionally kept in a JSONL file (schema "troupe.verdict/1") that runs can share one after
 * another.
 */

import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { TroupeError } from "../errors.ts";

export const verdictSchema = "troupe.verdict/1";

/** A judge could not be asked, or what it said could not be read. Becomes a failure of the episodes concerned. */
export class JudgeError extends TroupeError {}

export interface VerdictCacheOptions {
  /** Texts kept in memory. Default 10,000. */
  readonly entries?: number;
  /** Appended to; read once, when the first verdict is asked for. Default: memory only. */
  readonly file?: string;
}

/** One cache may serve several judges: what is asked is part of the hash. */
export class VerdictCache {
  readonly #limit: number;
  readonly #file: string | undefined;
  /** In the order of use, oldest first. */
  readonly #texts = new Map<string, string>();
  #loaded: Promise<void> | undefined;
  #written: Promise<void> = Promise.resolve();

  constructor({ entries = 10_000, file }: VerdictCacheOptions = {}) {
    if (!Number.isInteger(entries) || entries < 1)
      throw new RangeError(`A verdict cache needs room for at least one entry, got ${entries}.`);
    this.#limit = entries;
    this.#file = file;
  }

  get size(): number {
    return this.#texts.size;
  }

  async get(hash: string): Promise<string | undefined> {
    if (this.#file !== undefined) {
      this.#loaded ??= this.#load(this.#file);
      await this.#loaded;
    }
    const text = this.#texts.get(hash);
    if (text !== undefined) this.#keep(hash, text);
    return text;
  }

  /** @throws JudgeError if the file cannot be written. */
  async put(
    hash: string,
    text: string,
    of: { readonly policy: string; readonly version: number },
  ): Promise<void> {
    this.#keep(hash, text);
    const file = this.#file;
    if (file === undefined) return;
    const line = `${JSON.stringify({ schema: verdictSchema, ...of, hash, text })}\n`;
    // One write at a time, so that lines do not mix; a failed one does not stop the next.
    const written = this.#written.then(() => this.#append(file, line));
    this.#written = written.catch(() => {});
    return written;
  }

  #keep(hash: string, text: string): void {
    this.#texts.delete(hash);
    this.#texts.set(hash, text);
    if (this.#texts.size > this.#limit) this.#texts.delete(this.#texts.keys().next().value!);
  }

  async #append(file: string, line: string): Promise<void> {
    try {
      await mkdir(dirname(file), { recursive: true });
      await appendFile(file, line);
    } catch (error) {
      throw this.#failed("written", file, error);
    }
  }

  async #load(file: string): Promise<void> {
    let content: string;
    try {
      content = await readFile(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw this.#failed("read", file, error);
    }
    const lines = content.split("\n");
    for (const [i, line] of lines.entries()) {
      const entry = entryOf(line);
      if (entry !== undefined) this.#keep(entry.hash, entry.text);
      else if (!isTorn(line)) throw this.#foreign(file, i + 1);
    }
    // A torn last line, of a process that was killed, must not swallow the next one.
    if (lines.at(-1) !== "") await this.#append(file, "\n");
  }

  #failed(what: string, file: string, error: unknown): JudgeError {
    return new JudgeError({
      code: "E_JUDGE_CACHE",
      message: `The verdicts in ${file} could not be ${what}: ${error instanceof Error ? error.message : String(error)}`,
      hint: "free space or correct the path, or leave `file` out to keep verdicts in memory only.",
      cause: error,
    });
  }

  #foreign(file: string, line: number): JudgeError {
    return new JudgeError({
      code: "E_JUDGE_CACHE",
      message: `Line ${line} of ${file} is no verdict of schema ${verdictSchema}.`,
      hint: "give another path; the file is left as it is.",
    });
  }
}

const opening = `{"schema":${JSON.stringify(verdictSchema)}`;

/** The beginning of a verdict, of a process that was killed while it wrote; or an empty line. */
const isTorn = (line: string) => line.startsWith(opening) || opening.startsWith(line);

function entryOf(line: string): { readonly hash: string; readonly text: string } | undefined {
  try {
    const { schema, hash, text } = JSON.parse(line) as Record<string, unknown>;
    return schema === verdictSchema && typeof hash === "string" && typeof text === "string"
      ? { hash, text }
      : undefined;
  } catch {
    return undefined;
  }
}
