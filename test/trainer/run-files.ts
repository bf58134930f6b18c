/** @file What a run has written, for tests. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";

// biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of a line.
export type JsonLine = any;

export const jsonLines = async (file: string): Promise<JsonLine[]> =>
  (await readFile(file, "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** The steps of a run, as its metrics have them. */
export const stepLines = async (run: string): Promise<JsonLine[]> =>
  (await jsonLines(join(run, "metrics.jsonl"))).filter(({ kind }) => kind === "step");
