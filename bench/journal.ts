/**
 * @file What surviving costs: the journal of effects, the metrics and the recorded episodes of one step of the atlas
 * recipe, against the step. The step's episodes are those of a real run; recording them again is timed alone, CPU time
 * and wall time until everything is handed to the system, so that the share is not lost in the noise of whole steps.
 *
 *     npm run build && npx jiti bench/journal.ts
 */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atlasRecipe, starter } from "../examples/atlas/recipe.ts";
import { local } from "../src/engine/local/index.ts";
import { EffectJournal } from "../src/store/effect-journal.ts";
import { silentReporter } from "../src/trainer/reporter.ts";
import { train } from "../src/trainer/train.ts";
import { effectsOf } from "../src/workflow/effect.ts";
import type { Trajectory } from "../src/workflow/trajectory.ts";
import { readTrajectory, trajectoryLine } from "../src/workflow/trajectory-json.ts";

const steps = 12;
const folder = await mkdtemp(join(tmpdir(), "troupe-journal-"));
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const milliseconds = (value: number) => `${value.toFixed(2)} ms`;

/** Journal of a step: each effect as it settles, then the episode's end; then the flush that the loop waits for. */
async function journalStep(trajectories: readonly Trajectory[], step: number): Promise<void> {
  const journal = new EffectJournal(join(folder, "again"));
  for (const trajectory of trajectories) {
    const episode = await journal.episode({ ...trajectory.identity, step });
    for (const effect of effectsOf(trajectory)) if (effect.kind !== "draw") episode.record(effect);
    episode.end(trajectory);
  }
  await journal.flush();
  await journal.forget(step);
  await journal.close();
}

async function cost(work: (round: number) => Promise<void>): Promise<{ cpu: number; wall: number }> {
  const cpu: number[] = [];
  const wall: number[] = [];
  for (let round = 0; round < 20; round++) {
    const before = process.cpuUsage();
    const began = performance.now();
    await work(round + 1);
    const { user, system } = process.cpuUsage(before);
    wall.push(performance.now() - began);
    cpu.push((user + system) / 1000);
  }
  return { cpu: median(cpu.slice(5)), wall: median(wall.slice(5)) };
}

try {
  const { evaluate: _, ...recipe } = atlasRecipe(
    { policies: { small: local(starter) }, assign: { planner: "small", reader: "small", answerer: "small" } },
    "run",
  );
  await train(
    { ...recipe, steps, recordEpisodesEvery: steps, runsFolder: folder, seed: 1 },
    { reporter: silentReporter },
  );
  const lines = async (file: string) =>
    (await readFile(join(folder, "run", file), "utf8")).trim().split("\n");
  const seconds = (await lines("timings.jsonl")).map((line) => JSON.parse(line).seconds as number);
  const stepMilliseconds = median(seconds) * 1000;
  const metricsLine = (await lines("metrics.jsonl")).at(-1)!;
  const recorded = (await lines(`episodes/${String(steps).padStart(6, "0")}.jsonl`)).map(readTrajectory);
  const calls = recorded.reduce((sum, trajectory) => sum + trajectory.calls.length, 0);
  console.log(
    `a step of the atlas recipe: ${milliseconds(stepMilliseconds)} (median of ${steps}), ${recorded.length} episodes, ${calls} calls`,
  );
  const share = (name: string, { cpu, wall }: { cpu: number; wall: number }) =>
    console.log(
      `${name}: ${milliseconds(cpu)} CPU, ${milliseconds(wall)} wall: ${((100 * Math.max(cpu, wall)) / stepMilliseconds).toFixed(2)} % of the step`,
    );
  const journal = await cost((round) => journalStep(recorded, round));
  const metrics = await cost(() =>
    writeFile(join(folder, "metrics.jsonl"), `${metricsLine}\n`, { flag: "a" }),
  );
  const episodes = await cost(() =>
    writeFile(
      join(folder, "episodes.jsonl"),
      recorded.map((trajectory) => trajectoryLine(trajectory)).join("\n"),
    ),
  );
  share("journal of effects", journal);
  share("metrics", metrics);
  share("journal and metrics", { cpu: journal.cpu + metrics.cpu, wall: journal.wall + metrics.wall });
  share("recorded episodes (every tenth step in the recipe)", episodes);
} finally {
  await rm(folder, { recursive: true, force: true });
}
