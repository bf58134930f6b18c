/**
 * @file Makes the starters from nothing: a tokenizer and a small decoder each, trained on what a crowd of programmers
 * answers. Everything depends on the seed alone. Minutes on one core each.
 *   npm run build && npx jiti examples/puzzles/pretrain.ts small [--out folder] [--tokens 5e6] [--threads 1]
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pretrain } from "../pretraining/pretrain.ts";
import { makeTokenizer } from "../pretraining/starter-tokenizer.ts";
import { weightedBatches } from "../pretraining/weighted-batches.ts";
import { traceStream } from "./traces.ts";

/** Different in size, tokenizer and what they were shown. */
const starters = {
  small: {
    seed: 11,
    split: "single-digits",
    size: { vocabularySize: 320, hidden: 64, intermediate: 192, layers: 3 },
  },
  large: {
    seed: 12,
    // Punctuation and letters run together, so a call such as ".map(a=>a+" is one token.
    split: { pattern: " ?[^\\s\\d]+|\\d|\\s" },
    size: { vocabularySize: 448, hidden: 96, intermediate: 288, layers: 4 },
  },
  third: {
    seed: 13,
    split: "words",
    size: { vocabularySize: 384, hidden: 80, intermediate: 224, layers: 3 },
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
const { seed, split, size } = starters[name];
const contextLength = 256;
const batchTokens = 4096;

const starterTokenizer = await makeTokenizer(traceStream(seed), {
  count: 8_000,
  vocabularySize: size.vocabularySize,
  split,
  contextLength,
});
const { tokenizer } = starterTokenizer;
await pretrain({
  out: given.out ?? fileURLToPath(new URL(`assets/puzzles-${name}`, import.meta.url)),
  tokens: Number(given.tokens),
  seed,
  threads: Number(given.threads),
  size: { ...size, contextLength },
  starterTokenizer,
  batches: weightedBatches({
    seed: seed + 1,
    traces: traceStream(seed + 1000),
    encode: (text) => tokenizer.encode(text),
    endToken: tokenizer.endTokens[0]!,
    batchTokens,
    promptWeight: 0.05,
  }),
  batchTokens,
  peakLearningRate: 3e-3,
  finalLearningRate: 3e-5,
  smallResiduals: false,
});
process.exit(0);
