/**
 * @file The engine against `transformers` (fixtures/make_reference.py): Llama, Qwen2 and Qwen3 checkpoints as files,
 * through reading, packing, forward, backward and sampling. Tolerance: 2e-5 of each tensor's maximum.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdapterFolder } from "../../../src/engine/local/checkpoint/adapter-folder.ts";
import { ModelFolder } from "../../../src/engine/local/checkpoint/model-folder.ts";
import { SafetensorsFile } from "../../../src/engine/local/checkpoint/safetensors.ts";
import {
  adapterShapes,
  decoderShapes,
  type LoraSettings,
  parameterTable,
  valueHeadShapes,
} from "../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../src/engine/local/ort/open.ts";
import { DecodeSessions } from "../../../src/engine/local/sampling/decoder.ts";
import { Sampler } from "../../../src/engine/local/sampling/sampler.ts";
import { TrainingGraphs } from "../../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../../src/engine/local/training/training-model.ts";
import type { SampleResult, TokenGradients, TrainingSequence } from "../../../src/engine/policy.ts";
import { key } from "../../../src/random/stream.ts";

interface Reference {
  readonly sequences: readonly {
    readonly tokens: readonly number[];
    readonly mask: readonly number[];
    readonly temperature: number;
  }[];
  readonly logprobs: readonly number[];
  readonly entropies: readonly number[];
  readonly values?: readonly number[];
  readonly logprobWeights: readonly number[];
  readonly entropyWeights: readonly number[];
  readonly valueWeights?: readonly number[];
  readonly valueHead?: { readonly weight: readonly number[]; readonly bias: readonly number[] };
  readonly loss: number;
  readonly greedy: readonly { readonly prompt: readonly number[]; readonly tokens: readonly number[] }[];
}

const fixtures = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const tolerance = 2e-5;
const threads = 2;

/** Largest difference, relative to the largest element of `expected`. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
    // NaN compares as smaller than any difference.
    if (!Number.isFinite(actual[i]!)) return Number.POSITIVE_INFINITY;
  }
  return difference / largest;
}

const dot = (a: ArrayLike<number>, b: readonly number[]) => b.reduce((sum, x, i) => sum + x * a[i]!, 0);

interface Loaded {
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | undefined;
  readonly lora: LoraSettings | undefined;
  readonly model: (sharePrefixes: boolean) => TrainingModel;
  readonly sampler: () => Sampler;
  readonly dispose: () => void;
}

async function load(
  backend: OrtBackend,
  folder: string,
  adapterFolder: string | undefined,
  valueHead: boolean,
): Promise<Loaded> {
  const source = await ModelFolder.open(`${fixtures}models/${folder}`);
  const { config, generation } = source;
  const weights = new FlatTensors(
    backend,
    parameterTable([...decoderShapes(config), ...(valueHead ? valueHeadShapes(config) : [])]),
  );
  await source.readWeights(weights.table, weights.flat);
  await source.close();
  let adapter: FlatTensors | undefined;
  let lora: LoraSettings | undefined;
  if (adapterFolder !== undefined) {
    const adapterSource = await AdapterFolder.open(`${fixtures}adapters/${adapterFolder}`, config);
    lora = adapterSource.lora;
    adapter = new FlatTensors(backend, parameterTable(adapterShapes(config, lora)));
    await adapterSource.readWeights(adapter.table, adapter.flat);
    await adapterSource.close();
  }
  const adapted = { ...(lora ? { lora } : {}) };
  const graphs = await TrainingGraphs.create(backend, config, adapted);
  const sessions = await DecodeSessions.create(backend, { config, threads, ...adapted });
  const tensors = { weights, ...(adapter ? { adapter } : {}) };
  return {
    weights,
    adapter,
    lora,
    model: (sharePrefixes) => new TrainingModel(graphs, { ...tensors, sharePrefixes }),
    sampler: () =>
      new Sampler({
        sessions,
        ...tensors,
        tokenBytes: Array.from({ length: config.vocabularySize }, () => new Uint8Array(0)),
        endTokens: generation.endTokens,
      }),
    dispose: () => {
      graphs.dispose();
      sessions.dispose();
      weights.dispose();
      adapter?.dispose();
    },
  };
}

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads });
});
afterAll(() => backend.dispose());

describe.each([
  ["llama", "llama", undefined],
  ["qwen2", "qwen2", undefined],
  ["qwen3", "qwen3", undefined],
  ["llama-value", "llama", undefined],
  ["llama-lora", "llama", "llama-lora"],
])("%s", (name, folder, adapterFolder) => {
  const reference: Reference = JSON.parse(readFileSync(`${fixtures}reference/${name}.json`, "utf8"));
  const batch: readonly TrainingSequence[] = reference.sequences.map(({ tokens, mask, temperature }) => ({
    tokens: Int32Array.from(tokens),
    mask: Uint8Array.from(mask),
    temperature,
  }));
  const gradients: TokenGradients = {
    logprobs: Float32Array.from(reference.logprobWeights),
    entropies: Float32Array.from(reference.entropyWeights),
    ...(reference.valueWeights ? { values: Float32Array.from(reference.valueWeights) } : {}),
  };
  const options = { entropy: true, values: reference.values !== undefined };
  let loaded: Loaded;
  let tensors: SafetensorsFile;

  beforeAll(async () => {
    tensors = await SafetensorsFile.open(`${fixtures}reference/${name}.safetensors`);
    loaded = await load(backend, folder, adapterFolder, reference.valueHead !== undefined);
    if (reference.valueHead) {
      loaded.weights.view("value_head.weight").set(reference.valueHead.weight);
      loaded.weights.view("value_head.bias").set(reference.valueHead.bias);
    }
  });
  afterAll(async () => {
    loaded.dispose();
    await tensors.close();
  });

  const expected = async (tensor: string): Promise<Float32Array> => {
    const values = new Float32Array(tensors.tensors.get(tensor)!.elements);
    await tensors.readInto(tensor, values);
    return values;
  };

  test("every log-prob of a position: all tokens of the vocabulary", async () => {
    const logits = await expected("logits");
    const { tokens } = batch[0]!;
    const size = logits.length / tokens.length;
    const model = loaded.model(true);
    for (const position of [0, 7, tokens.length - 1]) {
      const row = logits.subarray(position * size, (position + 1) * size);
      const largest = row.reduce((a, b) => Math.max(a, b));
      const normaliser = largest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
      const { logprobs } = model.forward(
        Array.from({ length: size }, (_, token) => {
          const sequence = Int32Array.from([...tokens.subarray(0, position + 1), token]);
          return { tokens: sequence, mask: Uint8Array.from(sequence, (_, i) => (i > position ? 1 : 0)) };
        }),
      );
      expect(
        relativeError(
          logprobs,
          row.map((x) => x - normaliser),
        ),
      ).toBeLessThan(tolerance);
    }
    model.dispose();
  });

  test.each([
    ["packed", true],
    ["unshared", false],
  ])("log-probs, entropies, values and gradients, %s", async (_, sharePrefixes) => {
    const model = loaded.model(sharePrefixes);
    const result = model.forward(batch, { ...options, retain: sharePrefixes });
    expect(relativeError(result.logprobs, reference.logprobs)).toBeLessThan(tolerance);
    expect(relativeError(result.entropies!, reference.entropies)).toBeLessThan(tolerance);
    if (reference.values) expect(relativeError(result.values!, reference.values)).toBeLessThan(tolerance);
    const loss =
      dot(result.logprobs, reference.logprobWeights) +
      dot(result.entropies!, reference.entropyWeights) +
      (reference.valueWeights ? dot(result.values!, reference.valueWeights) : 0);
    expect(Math.abs(loss - reference.loss)).toBeLessThan(tolerance * Math.abs(reference.loss));

    model.backward(batch, gradients);
    const names = [...tensors.tensors.keys()].filter((tensor) => tensor.startsWith("gradient."));
    // The value head's fixture holds a part of the parameters; the others hold all that train.
    if (!reference.values) expect(names.length).toBe(model.trained.table.parameters.length);
    const errors = new Map<string, number>();
    for (const tensor of names) {
      const view = model.gradients.view(tensor.slice("gradient.".length));
      errors.set(tensor, relativeError(view, await expected(tensor)));
    }
    expect([...errors].filter(([, error]) => !(error < tolerance))).toEqual([]);
    model.dispose();
  });

  test("greedy continuations, and their log-probs", () => {
    const sampler = loaded.sampler();
    const results: SampleResult[] = [];
    reference.greedy.forEach(({ prompt }, index) => {
      const request = { prompt: Int32Array.from(prompt), maxTokens: 12, key: key("greedy", index) };
      sampler.submit(
        index,
        { ...request, sampling: { temperature: 0 } },
        {
          onDone: (result) => {
            results[index] = result;
          },
          onError: (error) => {
            throw error;
          },
        },
      );
    });
    while (sampler.step());
    expect(results.map((result) => [...result.tokens])).toEqual(reference.greedy.map(({ tokens }) => tokens));

    const model = loaded.model(true);
    const { logprobs } = model.forward(
      reference.greedy.map(({ prompt, tokens }) => ({
        tokens: Int32Array.from([...prompt, ...tokens]),
        mask: Uint8Array.from([...prompt.map(() => 0), ...tokens.map(() => 1)]),
      })),
    );
    const sampled = results.flatMap((result) => [...result.plainLogprobs]);
    expect(sampled.length).toBe(logprobs.length);
    expect(Math.max(...sampled.map((x, i) => Math.abs(x - logprobs[i]!)))).toBeLessThan(1e-4);
    model.dispose();
    sampler.dispose();
  });
});
