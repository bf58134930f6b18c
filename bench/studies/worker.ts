/** @file A process that runs the arms that it is told to, a JSON line for each order, and answers with a JSON line. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { TroupeError } from "troupe";
import { lineKey } from "./results.ts";
import { studyNamed } from "./studies.ts";
import type { StudyLine } from "./study.ts";

interface Order {
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  /** Where run folders are made. */
  readonly folder: string;
}

async function run({ study: name, arm: armName, seed, folder }: Order): Promise<StudyLine> {
  const study = await studyNamed(name);
  const arm = study.arms.find((one) => one.name === armName)!;
  const key = lineKey(name, arm, seed);
  const began = performance.now();
  const line = { study: name, arm: armName, seed, key };
  const seconds = () => Math.round((performance.now() - began) / 100) / 10;
  const own = join(folder, key);
  try {
    const outcome = await arm.run(seed, own);
    await rm(own, { recursive: true, force: true });
    return { ...line, seconds: seconds(), outcome };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const code = error instanceof TroupeError ? `${error.code}: ` : "";
    return { ...line, seconds: seconds(), error: `${code}${error.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as Order))}\n`);
