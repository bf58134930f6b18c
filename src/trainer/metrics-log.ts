/** @file An append-only file of JSON lines whose length a checkpoint remembers: metrics and timings of a run. */

import { type FileHandle, open } from "node:fs/promises";
import { writeFault } from "../store/errors.ts";
import { RunFolderError } from "./errors.ts";

export class MetricsLog {
  readonly #path: string;
  readonly #file: FileHandle;
  #length: number;

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /** Opens the file and cuts off what is behind `length`: lines of steps that are taken again. */
  static async open(path: string, length: number): Promise<MetricsLog> {
    const file = await open(path, "a+");
    try {
      const { size } = await file.stat();
      if (size < length) throw tooShort(path, size, length);
      await file.truncate(length);
      return new MetricsLog(path, file, length);
    } catch (error) {
      await file.close();
      throw error instanceof RunFolderError ? error : writeFault(path, error);
    }
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** @throws StoreError */
  async append(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(facts)}\n`);
    try {
      await this.#file.appendFile(line);
    } catch (error) {
      throw writeFault(this.#path, error);
    }
    this.#length += line.length;
  }

  /** Makes the lines so far last. @throws StoreError */
  async flush(): Promise<void> {
    await this.#file.sync().catch((error) => {
      throw writeFault(this.#path, error);
    });
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function tooShort(path: string, size: number, length: number): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_CHECKPOINT",
    message: `${path} has ${size} bytes; the checkpoint to go on from was made when it had ${length}.`,
    hint: "put the file back as it was, or begin anew with --fresh.",
    facts: { path, size, length },
  });
}
