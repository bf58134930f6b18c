/**
 * @file Makes the starter model from nothing: a tokenizer and a decoder of 0.65 million parameters, trained on supervised
 * traces over practice worlds. Everything depends on the seed alone.
 *   npm run build && npx jiti examples/recommend/pretrain.ts [--out folder] [--tokens 4e6] [--seed 1] [--threads 1]
 *     [--from folder] [--choice-weight 8] [--save-every 0]
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { key, Stream } from "troupe";
import { ModelTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import type { TrainingSequence } from "../../src/engine/policy.ts";
import { type PretrainingBatch, pretrain } from "../pretraining/pretrain.ts";
import { makeTokenizer } from "../pretraining/starter-tokenizer.ts";
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
const choiceWeight = Number(given["choice-weight"]);

/** Words, digits and punctuation apart as usual, and a capital letter at the end of a word apart from it: "Norway", "A". */
const pattern = " ?\\p{Lu}?[\\p{Ll}\\p{Lm}\\p{Lo}]+| ?\\p{Lu}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const size = {
  vocabularySize: 1024,
  hidden: 128,
  intermediate: 320,
  layers: 3,
  contextLength: 512,
  // About 1/√width: with 0.02, looking up was not learned within 2 M tokens (docs/lab-notebook.md).
  initializerRange: 0.08,
};
const batchTokens = 1024;
/** Traces that are sorted by length together, so that batches are even. */
const window = 512;

const starterTokenizer =
  given.from === undefined
    ? await makeTokenizer(traceStream(seed), {
        count: 12_000,
        vocabularySize: size.vocabularySize,
        split: { pattern },
        contextLength: size.contextLength,
      })
    : { folder: given.from, tokenizer: await ModelTokenizer.load(given.from) };
const { tokenizer } = starterTokenizer;
const endToken = tokenizer.endTokens[0]!;

/** A trace as a row: its completion and the end token are scored. */
function rowOf({ prompt, completion }: Trace): TrainingSequence {
  const before = tokenizer.encode(prompt);
  const after = tokenizer.encode(completion);
  const row = Int32Array.from([...before, ...after, endToken]);
  return { tokens: row, mask: Uint8Array.from(row, (_, i) => (i < before.length ? 0 : 1)) };
}

function batchOf(rows: readonly TrainingSequence[]): PretrainingBatch {
  const scored = rows.reduce((sum, { mask }) => sum + mask.reduce((count, one) => count + one, 0), 0);
  // A choice and its end token are all that a row of the recommender scores.
  const isChoice = ({ mask, tokens: { length } }: TrainingSequence, token: number) =>
    token === length - 2 && mask.indexOf(1) === token;
  const weights = rows.flatMap((row) =>
    [...row.mask].flatMap((one, token) =>
      one === 1 ? [(isChoice(row, token) ? choiceWeight : 1) / scored] : [],
    ),
  );
  return {
    sequences: rows,
    weights: Float32Array.from(weights),
    tokens: rows.reduce((sum, row) => sum + row.tokens.length, 0),
    loss: (logprobs) => -logprobs.reduce((sum, value) => sum + value, 0) / scored,
  };
}

/** Batches of rows of similar length, in an order that depends on the seed alone. */
function* batchStream(): Generator<PretrainingBatch, never> {
  const traces = traceStream(seed + 1, given.from === undefined);
  for (let round = 0; ; round++) {
    const rows = Array.from({ length: window }, () => rowOf(traces.next().value));
    rows.sort((left, right) => left.tokens.length - right.tokens.length);
    const batches: TrainingSequence[][] = [];
    let room = 0;
    for (const row of rows) {
      if (room < row.tokens.length) {
        batches.push([]);
        room = batchTokens;
      }
      batches.at(-1)!.push(row);
      room -= row.tokens.length;
    }
    for (const batch of new Stream(key("recommend", "pretrain order", seed, round)).shuffled(batches))
      yield batchOf(batch);
  }
}

await pretrain({
  out: given.out,
  tokens: Number(given.tokens),
  seed,
  threads: Number(given.threads),
  size,
  starterTokenizer,
  batches: batchStream(),
  batchTokens,
  peakLearningRate: 2e-3,
  finalLearningRate: 1e-4,
  smallResiduals: true,
  from: given.from,
  saveEvery: Number(given["save-every"]),
});
process.exit(0);
