/**
 * @file Makes the starter model from nothing: a tokenizer and a decoder of 0.65 million parameters, trained on supervised
 * traces over practice worlds. Everything depends on the seed alone.
 *   npm run build && npx jiti examples/recommend/pretrain.ts [--out folder] [--tokens 4e6] [--seed 1] [--threads 1]
 *     [--from folder] [--choice-weight 8] [--save-every 0]
 */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { key, Stream } from "troupe";
import { ModelFolder, saveModelFolder } from "../../src/engine/local/checkpoint/index.ts";
import { initialiseModel } from "../../src/engine/local/model/initialise.ts";
import { decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";
import { parseConfig } from "../../src/engine/local/model/parse-config.ts";
import { FlatTensors } from "../../src/engine/local/model/weights.ts";
import { openBackend } from "../../src/engine/local/ort/open.ts";
import { ModelTokenizer, trainBpe, writeTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import { cosine, warmup } from "../../src/engine/local/training/schedule.ts";
import { TrainingGraphs } from "../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../src/engine/local/training/training-model.ts";
import type { TrainingSequence } from "../../src/engine/policy.ts";
import { type Trace, traceStream } from "./traces.ts";

const { values: given } = parseArgs({
  options: {
    out: { type: "string", default: fileURLToPath(new URL("assets/recommend-small", import.meta.url)) },
    tokens: { type: "string", default: "4e6" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "1" },
    /** Goes on from a folder that this program made, without the drills at the beginning; give another seed. */
    from: { type: "string" },
    /** Weight of a choice, which is one token, beside the tokens of hints and drills. */
    "choice-weight": { type: "string", default: "8" },
    /** Also save every so many optimiser steps, to `<out>-<step>`. */
    "save-every": { type: "string", default: "0" },
  },
});
const seed = Number(given.seed);
const tokens = Number(given.tokens);
const choiceWeight = Number(given["choice-weight"]);
const saveEvery = Number(given["save-every"]);

/** Words, digits and punctuation apart as usual, and a capital letter at the end of a word apart from it: "Norway", "A". */
const pattern = " ?\\p{Lu}?[\\p{Ll}\\p{Lm}\\p{Lo}]+| ?\\p{Lu}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const recipe = {
  vocabularySize: 1024,
  /** Traces that the tokenizer's merges are learned from. */
  tokenizerTraces: 12_000,
  batchTokens: 1024,
  /** Traces that are sorted by length together, so that batches are even. */
  window: 512,
  peakLearningRate: 2e-3,
  finalLearningRate: 1e-4,
  warmupSteps: 100,
  betas: [0.9, 0.98],
  weightDecay: 0.05,
  maxGradientNorm: 1,
} as const;

const modelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: recipe.vocabularySize,
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  hidden_act: "silu",
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  initializer_range: 0.08,
  torch_dtype: "bfloat16",
} as const;

/** Learns the tokenizer and puts it with the generation config into a folder that the model's folder is made from. */
async function makeTokenizer(): Promise<{ readonly folder: string; readonly tokenizer: ModelTokenizer }> {
  const folder = await mkdtemp(join(tmpdir(), "recommend-tokenizer-"));
  const traces = traceStream(seed);
  const texts = Array.from({ length: recipe.tokenizerTraces }, () => {
    const { prompt, completion } = traces.next().value;
    return prompt + completion;
  });
  const { vocabularySize } = recipe;
  await writeTokenizer(
    folder,
    trainBpe(texts, {
      vocabularySize,
      split: { pattern },
      contextLength: modelConfig.max_position_embeddings,
    }),
  );
  const tokenizer = await ModelTokenizer.load(folder);
  const generation = { eos_token_id: tokenizer.endTokens, do_sample: true };
  await writeFile(join(folder, "generation_config.json"), `${JSON.stringify(generation, null, 2)}\n`);
  return { folder, tokenizer };
}

const { folder: tokenizerFolder, tokenizer } =
  given.from === undefined
    ? await makeTokenizer()
    : { folder: given.from, tokenizer: await ModelTokenizer.load(given.from) };
const endToken = tokenizer.endTokens[0]!;

/** A trace as a row: its completion and the end token are scored. */
function rowOf({ prompt, completion }: Trace): TrainingSequence {
  const before = tokenizer.encode(prompt);
  const after = tokenizer.encode(completion);
  const row = Int32Array.from([...before, ...after, endToken]);
  return { tokens: row, mask: Uint8Array.from(row, (_, i) => (i < before.length ? 0 : 1)) };
}

/** Batches of rows of similar length, in an order that depends on the seed alone. */
function* batchStream(): Generator<readonly TrainingSequence[], never> {
  const traces = traceStream(seed + 1, given.from === undefined);
  for (let round = 0; ; round++) {
    const rows = Array.from({ length: recipe.window }, () => rowOf(traces.next().value));
    rows.sort((left, right) => left.tokens.length - right.tokens.length);
    const batches: TrainingSequence[][] = [];
    let room = 0;
    for (const row of rows) {
      if (room < row.tokens.length) {
        batches.push([]);
        room = recipe.batchTokens;
      }
      batches.at(-1)!.push(row);
      room -= row.tokens.length;
    }
    yield* new Stream(key("recommend", "pretrain order", seed, round)).shuffled(batches);
  }
}

const sourceConfig = { ...modelConfig, eos_token_id: endToken };
const config = parseConfig(sourceConfig);
const table = parameterTable(decoderShapes(config));
const backend = await openBackend({ threads: Number(given.threads) });
const weights = new FlatTensors(backend, table);
initialiseModel(weights, seed, modelConfig.initializer_range);
// What writes into the residual stream starts smaller, by 1/√(2·layers) (Radford et al., 2019).
for (const { name } of table.parameters) {
  if (!/\.(o_proj|down_proj)\.weight$/.test(name)) continue;
  const view = weights.view(name);
  for (let i = 0; i < view.length; i++) view[i]! /= Math.sqrt(2 * config.layers);
}
if (given.from !== undefined) {
  const earlier = await ModelFolder.open(given.from);
  await earlier.readWeights(table, weights.flat);
  await earlier.close();
}
const graphs = await TrainingGraphs.create(backend, config);
const model = new TrainingModel(graphs, { weights, sharePrefixes: false });
console.log(`${table.count} parameters, ${recipe.vocabularySize} tokens, end token ${endToken}`);

const save = (target: string) =>
  saveModelFolder(
    target,
    { config, sourceConfig, table, flat: weights.flat },
    { format: "BF16", copyFrom: tokenizerFolder, replace: true, facts: { seed, tokens: seen } },
  );

const steps = Math.ceil(tokens / recipe.batchTokens);
const { peakLearningRate: peak, finalLearningRate: final } = recipe;
const rate = warmup(recipe.warmupSteps, cosine({ peak, steps, final }));
const { betas, weightDecay, maxGradientNorm } = recipe;
const batches = batchStream();
const begin = performance.now();
let seen = 0;
let smoothed = Number.NaN;
for (let step = 0; seen < tokens; step++) {
  const rows = batches.next().value;
  const scored = rows.reduce((sum, { mask }) => sum + mask.reduce((count, one) => count + one, 0), 0);
  const weightOf = (row: TrainingSequence, token: number) =>
    // A choice and its end token are all that a row of the recommender scores.
    row.mask.indexOf(1) === row.tokens.length - 2 && token === row.tokens.length - 2 ? choiceWeight : 1;
  const slopes = rows.flatMap((row) =>
    [...row.mask].flatMap((one, token) => (one === 1 ? [weightOf(row, token) / scored] : [])),
  );
  const { logprobs } = model.trainOnTargets(rows, Float32Array.from(slopes));
  const learningRate = rate(Math.min(step, steps));
  const { gradientNorm } = model.step({ learningRate, betas, weightDecay, maxGradientNorm });
  seen += rows.reduce((sum, row) => sum + row.tokens.length, 0);
  const loss = -logprobs.reduce((sum, value) => sum + value, 0) / scored;
  smoothed = Number.isNaN(smoothed) ? loss : 0.98 * smoothed + 0.02 * loss;
  if (step % 50 === 49) {
    const seconds = (performance.now() - begin) / 1000;
    const speed = seen / seconds;
    console.log(
      `step ${step + 1}/${steps}  loss ${smoothed.toFixed(4)}  gradient ${gradientNorm.toFixed(2)}  ` +
        `${(seen / 1e6).toFixed(2)} M tokens  ${Math.round(speed)} tokens/s  ${Math.round((tokens - seen) / speed)} s left`,
    );
  }
  if (saveEvery > 0 && step % saveEvery === saveEvery - 1) await save(`${given.out}-${step + 1}`);
}
await save(given.out);
console.log(`saved ${given.out} after ${seen} tokens, ${Math.round((performance.now() - begin) / 1000)} s`);
model.dispose();
graphs.dispose();
process.exit(0);
