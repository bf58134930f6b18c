/**
 * @file What a frozen policy costs a step: the atlas recipe with a planner that trains, and a policy for reader and
 * answerer that trains too, or is frozen. Eight steps each, alternating; medians of the seconds that the update takes,
 * beside those of a run in which the planner's policy is the only one that calls are credited to.
 *
 *     npm run build && npx jiti bench/frozen.ts
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atlasRecipe, starter } from "../examples/atlas/recipe.ts";
import { local } from "../src/engine/local/index.ts";
import { silentReporter } from "../src/trainer/reporter.ts";
import { train } from "../src/trainer/train.ts";

const folder = await mkdtemp(join(tmpdir(), "troupe-frozen-"));

interface Figures {
  readonly update: number;
  readonly seconds: number;
  /** Scored tokens a step that the update went over. */
  readonly tokens: number;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function run(name: string, frozen: boolean): Promise<Figures> {
  const recipe = atlasRecipe(
    {
      policies: { plans: local(starter), reads: local(starter, { trainable: !frozen }) },
      assign: { planner: "plans", reader: "reads", answerer: "reads" },
    },
    name,
  );
  const { evaluate: _, ...rest } = recipe;
  await train({ ...rest, steps: 8, runsFolder: folder, seed: 1 }, { reporter: silentReporter });
  const lines = async (file: string) =>
    (await readFile(join(folder, name, file), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter(({ kind }) => kind === "step");
  const timings = await lines("timings.jsonl");
  const metrics = await lines("metrics.jsonl");
  return {
    update: median(timings.map(({ updateSeconds }) => updateSeconds)),
    seconds: median(timings.map(({ seconds }) => seconds)),
    tokens: median(
      metrics.map(({ policies }) =>
        Object.values(policies as Record<string, { tokens: number }>).reduce(
          (sum, { tokens }) => sum + tokens,
          0,
        ),
      ),
    ),
  };
}

try {
  await run("warm-up", false);
  console.log(
    "round | both train: update s (tokens) | one frozen: update s (tokens) | ratio of update, of tokens",
  );
  for (let round = 1; round <= 3; round++) {
    const both = await run(`both-${round}`, false);
    const frozen = await run(`frozen-${round}`, true);
    const shown = ({ update, tokens }: Figures) => `${update.toFixed(3)} (${tokens})`;
    console.log(
      `${round} | ${shown(both)} | ${shown(frozen)} | ${(both.update / frozen.update).toFixed(2)}×, ${(both.tokens / frozen.tokens).toFixed(2)}×`,
    );
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
