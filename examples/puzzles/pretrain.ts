/**
 * @file Makes the starters from nothing: a tokenizer and a small decoder each, trained on what a crowd of programmers
 * answers. Everything depends on the seed alone. Minutes on one core each.
 *   npm run build && npx jiti examples/puzzles/pretrain.ts small [--out folder] [--tokens 5e6] [--threads 1]
 */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { saveModelFolder } from "../../src/engine/local/checkpoint/index.ts";
import { initialiseModel } from "../../src/engine/local/model/initialise.ts";
import { decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";
import { parseConfig } from "../../src/engine/local/model/parse-config.ts";
import { FlatTensors } from "../../src/engine/local/model/weights.ts";
import { openBackend } from "../../src/engine/local/ort/open.ts";
import { ModelTokenizer, trainBpe, writeTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import { cosine, warmup } from "../../src/engine/local/training/schedule.ts";
import { TrainingGraphs } from "../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../src/engine/local/training/training-model.ts";
import { weightedBatches } from "../atlas/pretrain-data.ts";
import { traceStream } from "./traces.ts";

/** Different in size, tokenizer and what they were shown. */
const starters = {
  small: {
    seed: 11,
    vocabularySize: 320,
    split: "single-digits",
    hidden: 64,
    intermediate: 192,
    layers: 3,
    heads: 4,
  },
  large: {
    seed: 12,
    vocabularySize: 448,
    // Punctuation and letters run together, so a call such as ".map(a=>a+" is one token.
    split: { pattern: " ?[^\\s\\d]+|\\d|\\s" },
    hidden: 96,
    intermediate: 288,
    layers: 4,
    heads: 4,
  },
  third: {
    seed: 13,
    vocabularySize: 384,
    split: "words",
    hidden: 80,
    intermediate: 224,
    layers: 3,
    heads: 4,
  },
} as const;

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    tokens: { type: "string", default: "5e6" },
    threads: { type: "string", default: "1" },
  },
});
const name = (positionals[0] ?? "small") as keyof typeof starters;
const starter = starters[name];
const { seed } = starter;
const out = given.out ?? fileURLToPath(new URL(`assets/puzzles-${name}`, import.meta.url));
const tokens = Number(given.tokens);
const batchTokens = 4096;
const tokenizerTraces = 8_000;

const modelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: starter.vocabularySize,
  hidden_size: starter.hidden,
  intermediate_size: starter.intermediate,
  num_hidden_layers: starter.layers,
  num_attention_heads: starter.heads,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  hidden_act: "silu",
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  initializer_range: 0.02,
  torch_dtype: "bfloat16",
} as const;

const tokenizerFolder = await mkdtemp(join(tmpdir(), "puzzles-tokenizer-"));
const traces = traceStream(seed);
const texts = Array.from({ length: tokenizerTraces }, () => {
  const { prompt, completion } = traces.next().value;
  return prompt + completion;
});
const { vocabularySize, split } = starter;
await writeTokenizer(
  tokenizerFolder,
  trainBpe(texts, { vocabularySize, split, contextLength: modelConfig.max_position_embeddings }),
);
const tokenizer = await ModelTokenizer.load(tokenizerFolder);
await writeFile(
  join(tokenizerFolder, "generation_config.json"),
  `${JSON.stringify({ eos_token_id: tokenizer.endTokens, do_sample: true }, null, 2)}\n`,
);
const endToken = tokenizer.endTokens[0]!;
const sourceConfig = { ...modelConfig, eos_token_id: endToken };
const config = parseConfig(sourceConfig);
const table = parameterTable(decoderShapes(config));
const backend = await openBackend({ threads: Number(given.threads) });
const weights = new FlatTensors(backend, table);
initialiseModel(weights, seed, modelConfig.initializer_range);
const graphs = await TrainingGraphs.create(backend, config);
const model = new TrainingModel(graphs, { weights, sharePrefixes: false });
const example = texts[0]!;
console.log(`${table.count} parameters; ${tokenizer.encode(example).length} tokens in\n${example}`);

const steps = Math.ceil(tokens / batchTokens);
const rate = warmup(100, cosine({ peak: 3e-3, steps, final: 3e-5 }));
const batches = weightedBatches({
  traces: traceStream(seed + 1000),
  seed: seed + 1,
  encode: (text) => tokenizer.encode(text),
  endToken,
  batchTokens,
  promptWeight: 0.05,
});
const begin = performance.now();
let seen = 0;
let smoothed = Number.NaN;
for (let step = 0; seen < tokens; step++) {
  const batch = batches.next().value;
  const { logprobs } = model.trainOnTargets(batch.sequences, batch.weights);
  model.step({
    learningRate: rate(Math.min(step, steps)),
    betas: [0.9, 0.98],
    weightDecay: 0.05,
    maxGradientNorm: 1,
  });
  seen += batch.tokens;
  let loss = 0;
  for (let i = 0; i < logprobs.length; i++)
    if (batch.weights[i] === batch.unit) loss -= logprobs[i]! * batch.unit;
  smoothed = Number.isNaN(smoothed) ? loss : 0.98 * smoothed + 0.02 * loss;
  if (step % 100 === 99) {
    const speed = seen / ((performance.now() - begin) / 1000);
    console.log(
      `step ${step + 1}/${steps}  loss ${smoothed.toFixed(4)}  ${Math.round(speed)} tokens/s  ${Math.round((tokens - seen) / speed)} s left`,
    );
  }
}
await saveModelFolder(
  out,
  { config, sourceConfig, table, flat: weights.flat },
  { format: "BF16", copyFrom: tokenizerFolder, replace: true, facts: { seed, tokens: seen } },
);
console.log(`saved ${out} after ${seen} tokens, ${Math.round((performance.now() - begin) / 1000)} s`);
model.dispose();
graphs.dispose();
process.exit(0);
