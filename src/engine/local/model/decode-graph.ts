/**
 * @file The graphs that sampling runs: a decoder body over key/value slots, and heads that turn hidden rows into
 * distributions. Weights are inputs in Hugging Face layout, so an optimiser step needs no new session.
 *
 * One body graph serves prefill (B rows of S tokens into empty slots), append (one slot, S tokens) and decode
 * (S = 1). Attention is `com.microsoft.GroupQueryAttention`, which writes keys and values in place when past and
 * present are the same memory. Its own rotary embedding refuses some head sizes, so rotary is a node before it;
 * it also refuses head sizes that are not a multiple of 8, so those are zero-padded up to one (`cacheHeadSize`),
 * which changes no score.
 *
 * Shapes: B rows, S tokens a row, N = B·S, n selected rows, M cache capacity, KV key/value heads.
 *
 * Batch invariance. A row's result must not depend on the other rows, or a seed would not name its tokens. The CPU
 * matrix kernel sums K in blocks whose width depends on the columns given to each thread, and uses another kernel
 * for one row. Measured (onnxruntime 1.30, AVX-512; 1 to 12 threads, 1 to 600 rows): bit-identical for ≥ 2 rows
 * except where K > 128 and some thread gets ≤ 64 columns. Prompt attention works on blocks of an even
 * number of query rows, and a last block of one row takes the other kernel as well. So callers give at least two
 * rows, and prompts in even numbers of tokens; {@link linear} sums narrow products in fixed blocks of K.
 */

import { float, GraphBuilder, type Value } from "../graph/graph-builder.ts";
import type { DecoderConfig } from "./config.ts";
import {
  adapterShapes,
  decoderShapes,
  embeddingName,
  finalNormName,
  headName,
  type LoraSettings,
  layerLinears,
  layerPrefix,
} from "./parameters.ts";

/** Width of one head in the cache: the next multiple of 8. */
export const cacheHeadSize = (config: DecoderConfig): number => Math.ceil(config.headSize / 8) * 8;

export interface DecodeBodyOptions {
  readonly config: DecoderConfig;
  readonly lora?: LoraSettings;
  /** Kernel threads of the session: decides which products are summed in fixed blocks. */
  readonly threads: number;
}

/**
 * A body graph and how its inputs line up: `runtimeInputs`, then keys and values layer by layer, then `weights`,
 * then `adapter` tensors. Outputs: hidden rows [n, D] after the final norm, then keys and values layer by layer.
 */
export interface DecodeBodyGraph {
  readonly model: Uint8Array;
  readonly weights: readonly string[];
  readonly adapter: readonly string[];
}

/** In this order. */
export const bodyInputs = [
  /** [N] int32 token ids */
  "tokens",
  /** [B, S] int64 rotary positions */
  "positions",
  /** [B] int32 index of each row's last token in its slot */
  "last",
  /** [1] int32 largest row length, S for a first prompt */
  "total",
  /** [n] int32 flat positions whose hidden state is wanted */
  "selected",
  /** [3] int64 B, S, -1 */
  "shape",
  /** [positions, headSize / 2] */
  "cos",
  "sin",
] as const;

const kernelBlock = 128;
/** Threads share columns in units of 16; one that gets at most 4 units sums wider blocks of K. */
const columnUnit = 16;
const narrowUnits = 4;
/** Beyond this many columns the intermediate of the blocked sum would cost more than exactness is worth. */
const widestBlockedSum = 1024;

/** y = x Wᵀ (+ bias) for x [rows, input], W [output, input], with sums that do not depend on the number of rows (≥ 2). */
function linear(
  g: GraphBuilder,
  threads: number,
  x: Value,
  weight: Value,
  bias: Value | null,
  [output, input]: readonly [output: number, input: number],
): Value {
  const fewestUnits = Math.floor(Math.ceil(output / columnUnit) / threads);
  const narrow = input > kernelBlock && fewestUnits <= narrowUnits && output <= widestBlockedSum;
  if (!narrow || threads === 1)
    return g.op("Gemm", bias ? [x, weight, bias] : [x, weight], { attributes: { transB: 1 } });
  const width = largestDivisor(input, kernelBlock);
  const blocks = input / width;
  // [rows, blocks, width] × [output, blocks, width] over the middle axis as batch → [blocks, rows, output]
  const products = g.op(
    "FusedMatMul",
    [
      g.op("Reshape", [x, g.int64s([-1, blocks, width])]),
      g.op("Reshape", [weight, g.int64s([output, blocks, width])]),
    ],
    { domain: "com.microsoft", attributes: { transBatchA: 1, transBatchB: 1, transB: 1 } },
  );
  const sum = g.op("ReduceSum", [products, g.int64s([0])], { attributes: { keepdims: 0 } });
  return bias ? g.op("Add", [sum, bias]) : sum;
}

function largestDivisor(value: number, limit: number): number {
  for (let divisor = Math.min(limit, value); ; divisor--) if (value % divisor === 0) return divisor;
}

/** Builds the body for one configuration. */
export function decodeBodyGraph({ config, lora, threads }: DecodeBodyOptions): DecodeBodyGraph {
  const { layers, hiddenSize, heads, keyValueHeads, headSize, normEpsilon } = config;
  const g = new GraphBuilder();
  const width = cacheHeadSize(config);

  const tokens = g.input("tokens", "int32", ["N"]);
  const positions = g.input("positions", "int64", ["B", "S"]);
  const last = g.input("last", "int32", ["B"]);
  const total = g.input("total", "int32", [1]);
  const selected = g.input("selected", "int32", ["n"]);
  const shape = g.input("shape", "int64", [3]);
  const cos = g.input("cos", "float32", ["P", headSize / 2]);
  const sin = g.input("sin", "float32", ["P", headSize / 2]);
  const cacheShape = ["B", keyValueHeads, "M", width] as const;
  const past = Array.from({ length: layers }, (_, layer) => ({
    key: g.input(`past_key.${layer}`, "float32", cacheShape),
    value: g.input(`past_value.${layer}`, "float32", cacheShape),
  }));

  const shapes = new Map(decoderShapes(config));
  if (!config.tiedHead) shapes.delete(headName(config));
  const weights = new Map([...shapes].map(([name, s]) => [name, g.input(name, "float32", s)]));
  const adapters = new Map(
    (lora ? adapterShapes(config, lora) : []).map(([name, s]) => [name, g.input(name, "float32", s)]),
  );
  const weight = (name: string): Value => weights.get(name)!;

  const norm = (x: Value, name: string): Value =>
    g.op("SimplifiedLayerNormalization", [x, weight(name)], {
      attributes: { axis: -1, epsilon: float(normEpsilon) },
    });
  /** [rows, input] → [rows, output], adapter included. */
  const project = (x: Value, layer: number, suffix: string): Value => {
    const name = `${layerPrefix(layer)}${suffix}`;
    const [, output, input] = layerLinears(config).find(([s]) => s === suffix)!;
    const bias = weights.get(`${name}.bias`) ?? null;
    const y = linear(g, threads, x, weight(`${name}.weight`), bias, [output, input]);
    const a = adapters.get(`${name}.lora_A.weight`);
    const b = adapters.get(`${name}.lora_B.weight`);
    if (!lora || !a || !b) return y;
    const low = linear(g, threads, x, a, null, [lora.rank, input]);
    const delta = linear(g, threads, low, b, null, [output, lora.rank]);
    return g.op("Add", [y, g.op("Mul", [delta, g.scalar(lora.alpha / lora.rank)])]);
  };
  /** [N, count·headSize] → [B, S, count·width]: per-head norm, rotary, zero padding, each where it applies. */
  const headsOf = (x: Value, count: number, normName: string | null, rotate: boolean): Value => {
    let y = x;
    if (normName) {
      const perHead = g.op("Reshape", [y, g.int64s([-1, count, headSize])]);
      y = norm(perHead, normName);
    }
    y = g.op("Reshape", [y, shape]);
    if (rotate)
      y = g.op("RotaryEmbedding", [y, positions, cos, sin], {
        domain: "com.microsoft",
        attributes: { num_heads: count, interleaved: 0 },
      });
    if (width === headSize) return y;
    const split = g.op("Reshape", [y, g.int64s([0, 0, count, headSize])]);
    const padding = g.int64s([0, 0, 0, 0, 0, 0, 0, width - headSize]);
    return g.op("Reshape", [g.op("Pad", [split, padding]), g.int64s([0, 0, count * width])]);
  };

  const presents: [Value, Value][] = [];
  let x = g.op("Gather", [weight(embeddingName), tokens], { attributes: { axis: 0 } }); // [N, D]
  for (let layer = 0; layer < layers; layer++) {
    const prefix = layerPrefix(layer);
    const normed = norm(x, `${prefix}input_layernorm.weight`);
    const named = (which: "q" | "k") =>
      config.queryKeyNorm ? `${prefix}self_attn.${which}_norm.weight` : null;
    const q = headsOf(project(normed, layer, "self_attn.q_proj"), heads, named("q"), true);
    const k = headsOf(project(normed, layer, "self_attn.k_proj"), keyValueHeads, named("k"), true);
    const v = headsOf(project(normed, layer, "self_attn.v_proj"), keyValueHeads, null, false);
    const [attended, key, value] = g.ops(
      "GroupQueryAttention",
      [q, k, v, past[layer]!.key, past[layer]!.value, last, total],
      {
        domain: "com.microsoft",
        attributes: { num_heads: heads, kv_num_heads: keyValueHeads, scale: float(1 / Math.sqrt(headSize)) },
        types: ["float32", "float32", "float32"],
      },
    ) as [Value, Value, Value];
    presents.push([key, value]);
    let rows = g.op("Reshape", [attended, g.int64s([-1, heads * width])]);
    if (width !== headSize) {
      const perHead = g.op("Reshape", [rows, g.int64s([-1, heads, width])]);
      const kept = g.op("Slice", [perHead, g.int64s([0]), g.int64s([headSize]), g.int64s([2])]);
      rows = g.op("Reshape", [kept, g.int64s([-1, heads * headSize])]);
    }
    if (layer === layers - 1) {
      // After the last attention only the selected rows matter.
      rows = g.op("Gather", [rows, selected], { attributes: { axis: 0 } });
      x = g.op("Gather", [x, selected], { attributes: { axis: 0 } });
    }
    x = g.op("Add", [x, project(rows, layer, "self_attn.o_proj")]);
    const mlpInput = norm(x, `${prefix}post_attention_layernorm.weight`);
    const gate = project(mlpInput, layer, "mlp.gate_proj");
    const silu = g.op("QuickGelu", [gate], {
      domain: "com.microsoft",
      attributes: { alpha: float(1) },
    });
    const inner = g.op("Mul", [silu, project(mlpInput, layer, "mlp.up_proj")]);
    x = g.op("Add", [x, project(inner, layer, "mlp.down_proj")]);
  }
  // Outputs keep the names of their values: a renamed one would be copied, and the cache would not be written in place.
  g.output(norm(x, finalNormName), ["n", hiddenSize]);
  for (const [key, value] of presents) {
    g.output(key, cacheShape);
    g.output(value, cacheShape);
  }
  return { model: g.build(), weights: [...weights.keys()], adapter: [...adapters.keys()] };
}

/**
 * Tokens per block of the two-level inverse CDF: a divisor of the vocabulary near 64, or 0 where there is none
 * (then a draw scans the row).
 */
export function samplingBlock(vocabularySize: number): number {
  let best = 0;
  for (let size = 16; size <= 256; size++)
    if (vocabularySize % size === 0 && (best === 0 || Math.abs(size - 64) < Math.abs(best - 64))) best = size;
  return best;
}

/**
 * Hidden rows to distributions. Inputs: hidden [n, D], the head's weight [V, D] and, for `full`, inverse
 * temperatures [n, 1]. Outputs of `plain`: probabilities [n, V], block sums [n, V / block] (absent where
 * {@link samplingBlock} is 0). Outputs of `full`: logits, plain probabilities, probabilities at the row's
 * temperature, block sums of the latter.
 */
export function decodeHeadGraph(config: DecoderConfig, kind: "plain" | "full", threads: number): Uint8Array {
  const { hiddenSize, vocabularySize } = config;
  const g = new GraphBuilder();
  const hidden = g.input("hidden", "float32", ["n", hiddenSize]);
  const head = g.input("head", "float32", [vocabularySize, hiddenSize]);
  const inverse = kind === "full" ? g.input("inverseTemperatures", "float32", ["n", 1]) : null;
  const logits = linear(g, threads, hidden, head, null, [vocabularySize, hiddenSize]);
  const softmax = (x: Value): Value => g.op("Softmax", [x], { attributes: { axis: -1 } });
  const plain = softmax(logits);
  const row = ["n", vocabularySize] as const;
  let sampled = plain;
  if (inverse) {
    sampled = softmax(g.op("Mul", [logits, inverse]));
    g.output(logits, row);
  }
  g.output(plain, row);
  if (inverse) g.output(sampled, row);
  const block = samplingBlock(vocabularySize);
  if (block > 0) {
    const blocks = vocabularySize / block;
    const split = g.op("Reshape", [sampled, g.int64s([-1, blocks, block])]);
    const sums = g.op("ReduceSum", [split, g.int64s([2])], { attributes: { keepdims: 0 } });
    g.output(sums, ["n", blocks]);
  }
  return g.build();
}
