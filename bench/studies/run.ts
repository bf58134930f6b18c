/**
 * @file Runs a study, or the part of it that is asked for; what its results have is not run again.
 *
 *     npm run build && npx jiti bench/studies/run.ts mars2
 *     npx jiti bench/studies/run.ts hacpo --arm hacpo --seeds 1,2 --jobs 2
 *
 * --arm          may be given several times. Default: all
 * --seeds 1,2,3  Default: 1 to 5
 * --jobs 1|2     processes side by side. Default 1
 * --results file Default: bench/studies/results/<study>.jsonl
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Side } from "../alternate.ts";
import { addLine, lineKey, readLines, resultsFile } from "./results.ts";
import { studyNamed } from "./studies.ts";
import { type Arm, type StudyLine, studySeeds } from "./study.ts";

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    arm: { type: "string", multiple: true },
    seeds: { type: "string", default: studySeeds.join(",") },
    jobs: { type: "string", default: "1" },
    results: { type: "string" },
  },
});
const study = await studyNamed(positionals[0] ?? "");
const file = given.results ?? resultsFile(study.name);
const arms = study.arms.filter(({ name }) => given.arm === undefined || given.arm.includes(name));
const known = await readLines(file);
const folder = await mkdtemp(join(tmpdir(), "study-"));
const jiti = fileURLToPath(new URL("../../node_modules/jiti/lib/jiti-cli.mjs", import.meta.url));
const worker = fileURLToPath(new URL("worker.ts", import.meta.url));

// Seed by seed, so that a study that is stopped has all arms of its first seeds.
const orders = given.seeds
  .split(",")
  .map(Number)
  .flatMap((seed) => arms.map((arm) => ({ arm, seed })))
  .filter(({ arm, seed }) => known.get(lineKey(study.name, arm, seed))?.outcome === undefined);
let failed = 0;

async function ask(side: Side, { arm, seed }: { readonly arm: Arm; readonly seed: number }) {
  const order = { study: study.name, arm: arm.name, seed, folder };
  const line = (await side.ask(order)) as unknown as StudyLine;
  await addLine(file, line);
  if (line.outcome === undefined) failed++;
  const said =
    line.outcome === undefined
      ? `FAILED: ${line.error}`
      : `${JSON.stringify(line.outcome.after)} · ${line.outcome.sampledTokens} tokens in ${line.outcome.steps} steps`;
  console.log(`${study.name} · ${arm.name} · seed ${seed} · ${said} · ${line.seconds} s`);
}

await Promise.all(
  Array.from({ length: Number(given.jobs) }, async () => {
    const side = new Side("study worker", process.execPath, [jiti, worker]);
    try {
      for (let next = orders.shift(); next !== undefined; next = orders.shift()) await ask(side, next);
    } finally {
      side.close();
    }
  }),
);
if (failed === 0) await rm(folder, { recursive: true, force: true });
else {
  console.log(`${failed} failed; their folders are in ${folder}`);
  process.exitCode = 1;
}
