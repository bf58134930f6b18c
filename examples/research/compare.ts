/**
 * @file M-GRPO against frozen sub-agents and against GRPO with one policy, at equal numbers of sampled tokens:
 * `npx jiti examples/research/compare.ts --seeds 1,2,3,4,5 --tokens 1500000 --out runs/research-compare`. Each run's result
 * is a line of `<out>/results.jsonl`; runs that are in it already are not repeated. The rate is constant, since how many
 * steps the budget makes differs.
 */

import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { train } from "troupe";
import { researchRecipe, type Variant, variants } from "./recipe.ts";
import { researchTasks } from "./tasks.ts";

interface Result {
  readonly variant: Variant;
  readonly seed: number;
  readonly tokens: number;
  readonly steps: number;
  readonly before: number;
  readonly after: number;
  readonly seconds: number;
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1,2,3,4,5" },
    tokens: { type: "string", default: "1500000" },
    evaluate: { type: "string", default: "360" },
    variants: { type: "string", default: Object.keys(variants).join() },
    out: { type: "string", default: "runs/research-compare" },
  },
});
const seeds = values.seeds.split(",").map(Number);
const tokens = Number(values.tokens);
const chosen = values.variants.split(",") as Variant[];
const unknown = chosen.filter((variant) => !Object.hasOwn(variants, variant));
if (unknown.length > 0 || !(tokens > 0) || !seeds.every(Number.isInteger))
  throw new RangeError(`Give --seeds, --tokens, and --variants of ${Object.keys(variants).join(", ")}.`);

mkdirSync(values.out, { recursive: true });
const file = join(values.out, "results.jsonl");
const known: Result[] = existsSync(file)
  ? readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Result)
  : [];

for (const seed of seeds) {
  for (const variant of chosen) {
    if (known.some((one) => one.variant === variant && one.seed === seed && one.tokens === tokens)) continue;
    const config = researchRecipe(variant, {
      seed,
      tokenBudget: tokens,
      steps: 10_000,
      learningRate: { peak: 1e-4, warmupSteps: 5 },
      evaluate: researchTasks("test", Number(values.evaluate), 1),
      evaluateEvery: 0,
      recordEpisodesEvery: 0,
      runsFolder: values.out,
      run: `${variant}-${tokens}-${seed}`,
    });
    const { before, after, steps, seconds } = await train(config);
    const result: Result = {
      variant,
      seed,
      tokens,
      steps,
      before: Number(before!.f1),
      after: Number(after!.f1),
      seconds,
    };
    appendFileSync(file, `${JSON.stringify(result)}\n`);
    known.push(result);
  }
}

for (const variant of chosen) {
  const own = known.filter(
    (one) => one.variant === variant && one.tokens === tokens && seeds.includes(one.seed),
  );
  const mean = own.reduce((sum, { after }) => sum + after, 0) / own.length;
  const deviation = Math.sqrt(
    own.reduce((sum, { after }) => sum + (after - mean) ** 2, 0) / Math.max(1, own.length - 1),
  );
  console.log(
    `${variants[variant].padEnd(26)} held-out F1 ${own.map(({ before, after }) => `${before.toFixed(3)} → ${after.toFixed(3)}`).join(", ")} · mean ${mean.toFixed(3)} (sd ${deviation.toFixed(3)})`,
  );
}
