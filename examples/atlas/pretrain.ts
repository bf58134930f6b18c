/**
 * @file Makes the starter model from nothing: a tokenizer and a decoder of about a million parameters, trained on
 * supervised traces over counterfactual worlds. Everything depends on the seed alone.
 *   npm run build && npx jiti examples/atlas/pretrain.ts [--out folder] [--tokens 14e6] [--seed 1] [--threads 2]
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pretrain } from "../pretraining/pretrain.ts";
import { makeTokenizer } from "../pretraining/starter-tokenizer.ts";
import { weightedBatches } from "../pretraining/weighted-batches.ts";
import { traceStream } from "./trace-stream.ts";

const { values: given } = parseArgs({
  options: {
    out: { type: "string", default: fileURLToPath(new URL("assets/atlas-small", import.meta.url)) },
    tokens: { type: "string", default: "14e6" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    /** Also save every so many optimiser steps, to `<out>-<step>`. */
    "save-every": { type: "string", default: "0" },
  },
});
const seed = Number(given.seed);
const batchTokens = 4096;
const size = { vocabularySize: 1024, hidden: 128, intermediate: 384, layers: 4, contextLength: 1024 };

const starterTokenizer = await makeTokenizer(traceStream(seed), {
  count: 20_000,
  vocabularySize: size.vocabularySize,
  contextLength: size.contextLength,
});
const { tokenizer } = starterTokenizer;
await pretrain({
  out: given.out,
  tokens: Number(given.tokens),
  seed,
  threads: Number(given.threads),
  size,
  starterTokenizer,
  batches: weightedBatches({
    seed: seed + 1,
    traces: traceStream(seed + 1),
    encode: (text) => tokenizer.encode(text),
    endToken: tokenizer.endTokens[0]!,
    batchTokens,
    promptWeight: 0.1,
  }),
  batchTokens,
  peakLearningRate: 3e-3,
  finalLearningRate: 3e-5,
  smallResiduals: true,
  saveEvery: Number(given["save-every"]),
});
process.exit(0);
