/** @file The league's record: one JSON line a run. A key that has a line is not run again; failures are. */

import { appendFile, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { RaceFailure, RaceResult } from "./race.ts";

export const resultsFile = fileURLToPath(new URL("results.jsonl", import.meta.url));

export const isFailure = (line: RaceResult | RaceFailure): line is RaceFailure => "error" in line;

/** By key, the newest line of each; a success stays whatever comes after it. */
export async function readResults(file: string): Promise<Map<string, RaceResult | RaceFailure>> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const found = new Map<string, RaceResult | RaceFailure>();
  for (const [i, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const result = parse(line, `${file}, line ${i + 1}`);
    const known = found.get(result.key);
    if (known === undefined || isFailure(known)) found.set(result.key, result);
  }
  return found;
}

function parse(line: string, place: string): RaceResult | RaceFailure {
  try {
    return JSON.parse(line) as RaceResult | RaceFailure;
  } catch (cause) {
    throw new Error(`${place} is no JSON: remove the line, its run is repeated.`, { cause });
  }
}

export async function addResult(file: string, result: RaceResult | RaceFailure): Promise<void> {
  await appendFile(file, `${JSON.stringify(result)}\n`);
}
