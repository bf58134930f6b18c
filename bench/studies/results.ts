/** @file A study's record: one JSON line a run, found again by a digest of everything that decides what it computes. */

import { createHash } from "node:crypto";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Arm, StudyLine } from "./study.ts";

export const resultsFile = (study: string) =>
  fileURLToPath(new URL(`results/${study}.jsonl`, import.meta.url));

export function lineKey(study: string, { name, settings }: Arm, seed: number): string {
  const all = JSON.stringify({ study, name, settings, seed });
  return createHash("sha256").update(all).digest("hex").slice(0, 16);
}

/** By key; a success stays whatever comes after it. */
export async function readLines(file: string): Promise<Map<string, StudyLine>> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const found = new Map<string, StudyLine>();
  for (const [i, line] of text.split("\n").entries()) {
    if (line === "") continue;
    let result: StudyLine;
    try {
      result = JSON.parse(line) as StudyLine;
    } catch (cause) {
      throw new Error(`${file}, line ${i + 1} is no JSON: remove the line, its run is repeated.`, { cause });
    }
    if (found.get(result.key)?.outcome === undefined) found.set(result.key, result);
  }
  return found;
}

export async function addLine(file: string, line: StudyLine): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await appendFile(file, `${JSON.stringify(line)}\n`);
}
