/** @file Turns the stream of traces into token batches of similar length, in an order that depends on the seed alone. */

import { key, Stream } from "troupe";
import type { PretrainingBatch } from "./pretrain.ts";

/** One example. */
export interface TraceText {
  readonly prompt: string;
  readonly completion: string;
}

/** Weights are already divided by the number of completion tokens. */
export interface WeightedBatch extends PretrainingBatch {
  /** Weight of a completion token. */
  readonly unit: number;
}

export interface BatchOptions {
  /** Of the order of batches. */
  readonly seed: number;
  readonly traces: Iterator<TraceText, never>;
  readonly encode: (text: string) => Int32Array;
  readonly endToken: number;
  /** Tokens of one batch. */
  readonly batchTokens: number;
  /** Weight of a prompt token; a completion token has 1. Prompts repeat names, so they teach copying too. */
  readonly promptWeight: number;
}

/** Traces that are sorted by length together: enough for even batches, few enough to keep the order random. */
const window = 1024;

interface Encoded {
  readonly tokens: Int32Array;
  readonly promptLength: number;
}

export function encodeTrace(
  trace: TraceText,
  encode: (text: string) => Int32Array,
  endToken: number,
): Encoded {
  const prompt = encode(trace.prompt);
  const completion = encode(trace.completion);
  const tokens = new Int32Array(prompt.length + completion.length + 1);
  tokens.set(prompt);
  tokens.set(completion, prompt.length);
  tokens[tokens.length - 1] = endToken;
  return { tokens, promptLength: prompt.length };
}

function weigh(traces: readonly Encoded[], promptWeight: number): WeightedBatch {
  const scored = traces.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
  const completed = traces.reduce((sum, { tokens, promptLength }) => sum + tokens.length - promptLength, 0);
  const weights = new Float32Array(scored);
  let at = 0;
  const sequences = traces.map(({ tokens, promptLength }) => {
    const mask = new Uint8Array(tokens.length).fill(1);
    mask[0] = 0;
    weights.fill(promptWeight / completed, at, at + promptLength - 1);
    weights.fill(1 / completed, at + promptLength - 1, at + tokens.length - 1);
    at += tokens.length - 1;
    return { tokens, mask };
  });
  const unit = Math.fround(1 / completed);
  const loss = (logprobs: Float32Array) => {
    let sum = 0;
    for (let i = 0; i < logprobs.length; i++) if (weights[i] === unit) sum -= logprobs[i]! * unit;
    return sum;
  };
  return { sequences, weights, unit, tokens: scored + traces.length, loss };
}

export function* weightedBatches(options: BatchOptions): Generator<WeightedBatch, never> {
  const { seed, traces, encode, endToken, batchTokens, promptWeight } = options;
  for (let round = 0; ; round++) {
    const encoded = Array.from({ length: window }, () => encodeTrace(traces.next().value, encode, endToken));
    encoded.sort((left, right) => left.tokens.length - right.tokens.length);
    const batches: Encoded[][] = [];
    let room = 0;
    for (const trace of encoded) {
      if (room < trace.tokens.length) {
        batches.push([]);
        room = batchTokens;
      }
      batches.at(-1)!.push(trace);
      room -= trace.tokens.length;
    }
    const order = new Stream(key("atlas", "pretrain order", seed, round)).shuffled(batches);
    for (const batch of order) yield weigh(batch, promptWeight);
  }
}
