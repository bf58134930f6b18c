/** @file Tiny random models with a sampler over them, and the reference's log-probs of what they sampled. */

import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import {
  adapterShapes,
  headName,
  type LoraSettings,
  parameterTable,
} from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { DecodeSessions } from "../../../../src/engine/local/sampling/decoder.ts";
import { Sampler, type SamplerOptions } from "../../../../src/engine/local/sampling/sampler.ts";
import type { SampleRequest, SampleResult } from "../../../../src/engine/policy.ts";
import { key } from "../../../../src/random/stream.ts";
import { asFloat64, decoderTable, fillRandomly } from "../model/fixtures.ts";
import { referenceHidden } from "../model/reference-decoder.ts";

export const threads = 2;
const backend = openBackend({ threads });

/** Token i is the letter a + i mod 26, so that text shows tokens. */
export const letters = (vocabularySize: number): Uint8Array[] =>
  Array.from({ length: vocabularySize }, (_, id) => Uint8Array.of(97 + (id % 26)));

export interface Model {
  readonly config: DecoderConfig;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | undefined;
  readonly lora: LoraSettings | undefined;
  readonly sessions: DecodeSessions;
  sampler(options?: Partial<SamplerOptions>): Sampler;
}

export async function tinyModel(
  config: DecoderConfig,
  seed = 1,
  lora?: LoraSettings,
  scale = 0.5,
): Promise<Model> {
  const opened = await backend;
  const weights = new FlatTensors(opened, decoderTable(config));
  fillRandomly(weights.table, weights.flat, seed, scale);
  let adapter: FlatTensors | undefined;
  if (lora) {
    adapter = new FlatTensors(opened, parameterTable(adapterShapes(config, lora)));
    fillRandomly(adapter.table, adapter.flat, seed + 1, scale);
  }
  const sessions = await DecodeSessions.create(opened, { config, threads, ...(lora ? { lora } : {}) });
  const sampler = (options: Partial<SamplerOptions> = {}) =>
    new Sampler({
      sessions,
      weights,
      ...(adapter ? { adapter } : {}),
      tokenBytes: letters(config.vocabularySize),
      endTokens: [],
      ...options,
    });
  return { config, weights, adapter, lora, sessions, sampler };
}

export type Ask = Partial<SampleRequest> & { readonly prompt: Int32Array };

/** Fills in a request; its index names its key. */
export const ask = (request: Ask, index = 0): SampleRequest => ({
  maxTokens: 8,
  key: key("test", index),
  ...request,
});

/** Submits all at once and steps until the last has ended. */
export function sampleAll(sampler: Sampler, requests: readonly SampleRequest[]): SampleResult[] {
  const results: SampleResult[] = [];
  for (const [index, request] of requests.entries())
    sampler.submit(index, request, {
      onDone: (result) => {
        results[index] = result;
      },
      onError: (error) => {
        throw error;
      },
    });
  while (sampler.step());
  return results;
}

/** Random prompt of `length` tokens, the same for the same name. */
export function prompt(config: DecoderConfig, length: number, name: number | string = 0): Int32Array {
  let state = key("prompt", name, length)[0];
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * config.vocabularySize);
  });
}

/** Logits after each of `tokens`, in float64. */
export function referenceLogits(model: Model, tokens: Int32Array): Float64Array[] {
  const { config, weights, adapter, lora } = model;
  const named = asFloat64(weights.table, weights.flat);
  const width = tokens.length;
  const layout = {
    rows: 1,
    width,
    tokens,
    positions: Int32Array.from(tokens, (_, i) => i),
    end: new Int32Array(width).fill(width),
  };
  const low = adapter && lora ? { weights: asFloat64(adapter.table, adapter.flat), settings: lora } : null;
  const head = named.get(headName(config))!;
  const size = config.hiddenSize;
  return referenceHidden(config, named, layout, low).map((hidden) =>
    Float64Array.from({ length: config.vocabularySize }, (_, v) => {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += head[v * size + i]! * hidden[i]!;
      return sum;
    }),
  );
}

export function logSoftmax(logits: Float64Array, temperature = 1): Float64Array {
  const scaled = logits.map((z) => z / temperature);
  const largest = Math.max(...scaled);
  const total = Math.log(scaled.reduce((sum, z) => sum + Math.exp(z - largest), 0)) + largest;
  return scaled.map((z) => z - total);
}

/** Largest difference between a result's plain log-probs and the reference's. */
export function worstLogprob(model: Model, prompt: Int32Array, result: SampleResult): number {
  const all = new Int32Array(prompt.length + result.tokens.length);
  all.set(prompt);
  all.set(result.tokens, prompt.length);
  const logits = referenceLogits(model, all);
  let worst = 0;
  for (const [i, token] of result.tokens.entries()) {
    const expected = logSoftmax(logits[prompt.length + i - 1]!)[token]!;
    worst = Math.max(worst, Math.abs(expected - result.plainLogprobs[i]!));
  }
  return worst;
}
