/**
 * @file What a policy will take in memory, computed from its config before anything is allocated.
 *
 * Weights, gradients, moments and caches are exact: they are flat float32 buffers of known length. Activations,
 * attention scores and the head's buffers are bounds that follow the graphs (model/decoder-layer.ts,
 * graph/attention.ts, model/head.ts, training/training-model.ts); `test/engine/local/memory-plan.test.ts` compares
 * the plan with a measured training step.
 */

import { totalmem } from "node:os";
import { TroupeError } from "../../errors.ts";
import { countValueHeads } from "../value-heads.ts";
import type { DecoderConfig } from "./model/config.ts";
import { headChunkBytes } from "./model/head.ts";
import { adapterShapes, decoderShapes, parameterTable, valueHeadShapes } from "./model/parameters.ts";
import { cacheBytes } from "./sampling/kv-cache.ts";
import { scoresInMemory } from "./training/scoring-model.ts";
import type { LocalModelOptions } from "./worker/protocol.ts";

/** The plan does not fit into the memory that is there. */
export class MemoryPlanError extends TroupeError {}

export interface MemorySettings
  extends Pick<
    LocalModelOptions,
    "trainable" | "lora" | "valueHead" | "slots" | "contextLength" | "microbatchTokens"
  > {
  /** The base's weights are in memory already, shared with another policy. Default false. */
  readonly baseInMemory?: boolean;
}

export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  /** How the number comes about. */
  readonly note: string;
}

export interface MemoryPlan {
  readonly parts: readonly MemoryPart[];
  readonly totalBytes: number;
  readonly settings: Required<Omit<MemorySettings, "lora" | "baseInMemory">>;
  /** Tokens that the longest training sequence was assumed to have; attention grows with its square. */
  readonly sequenceTokens: number;
  /** Tokens a slot that the plan counts. The cache grows with what is sampled; {@link cacheRoom} says how far it can. */
  readonly cacheTokens: number;
  /** Keys and values of one more token in every slot. */
  readonly cacheBytesPerToken: number;
  readonly parameterCount: number;
  readonly trainedCount: number;
}

/** Where nobody says how long sequences get, attention is planned for this many tokens. */
const assumedTokens = 2048;
/** Without room for so many tokens a slot there is no use in starting. */
const leastCacheTokens = 256;
/** A microbatch is not made smaller than this to fit: it would starve the kernels. */
const leastMicrobatch = 512;
/** Rows of the cache beyond the slots (sampling/sampler.ts). */
const spareRows = 2;
/** Tokens of one prefill run (sampling/sampler.ts). */
const prefillTokens = 2048;
/** How many tensors of one layer's attention scores there are at once. */
const scoreTensors = 5;
/** Node, ONNX Runtime and the graphs. */
const processBytes = 200e6;

export function memoryPlan(config: DecoderConfig, settings: MemorySettings = {}): MemoryPlan {
  const {
    trainable = true,
    lora,
    valueHead = false,
    slots = 64,
    contextLength = config.contextLength,
    microbatchTokens = 8192,
    baseInMemory = false,
  } = settings;
  const sequenceTokens =
    settings.contextLength === undefined ? Math.min(config.contextLength, assumedTokens) : contextLength;
  const cacheTokens = Math.min(contextLength, leastCacheTokens);
  const cacheBytesPerToken = cacheBytes(config, slots + spareRows, 1);
  const weights = parameterTable(decoderShapes(config));
  const valueShapes = valueHeadShapes(config, countValueHeads(valueHead));
  const trained = parameterTable([
    ...(lora ? adapterShapes(config, lora) : decoderShapes(config)),
    ...valueShapes,
  ]);
  const trainedBytes = 4 * trained.flatLength;

  const parts: MemoryPart[] = [
    { name: "process", bytes: processBytes, note: "Node, ONNX Runtime, graphs" },
    {
      name: "weights",
      bytes:
        4 * (baseInMemory ? 0 : weights.flatLength) +
        (lora ? trainedBytes : 4 * (trained.flatLength - weights.flatLength)),
      note: `${count(weights.count)} parameters in float32${lora ? `, adapter of ${count(trained.count)}` : ""}`,
    },
    {
      name: "keys and values",
      bytes: cacheTokens * cacheBytesPerToken,
      note: `${slots} slots of ${cacheTokens} tokens; grows with what is sampled`,
    },
    {
      name: "sampling",
      bytes: samplingBytes(config, slots, sequenceTokens),
      note: "logits, one prefill run",
    },
  ];
  if (trainable) {
    parts.push(
      { name: "gradients", bytes: trainedBytes, note: `${count(trained.count)} trained parameters` },
      { name: "AdamW moments", bytes: 2 * trainedBytes, note: "two a parameter" },
      ...trainingParts(config, microbatchTokens, sequenceTokens),
    );
  }
  return {
    parts,
    totalBytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    settings: { trainable, valueHead, slots, contextLength, microbatchTokens },
    sequenceTokens,
    cacheTokens,
    cacheBytesPerToken,
    parameterCount: weights.count,
    trainedCount: trainable ? trained.count : 0,
  };
}

function samplingBytes(config: DecoderConfig, slots: number, sequenceTokens: number): number {
  const { hiddenSize, intermediateSize, heads, vocabularySize } = config;
  const rows = Math.max(1, Math.min(slots, Math.floor(headChunkBytes / (4 * vocabularySize))));
  const tokens = Math.min(prefillTokens, slots * sequenceTokens);
  // A layer's live tensors in prefill; attention's scores are of one sequence at a time.
  const layer =
    tokens * (6 * hiddenSize + 3 * intermediateSize) + heads * Math.min(tokens, sequenceTokens) ** 2;
  return 4 * (3 * rows * vocabularySize + layer);
}

/** A microbatch is never smaller than one sequence. */
function trainingParts(
  config: DecoderConfig,
  microbatchTokens: number,
  sequenceTokens: number,
): MemoryPart[] {
  const { layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = config;
  const tokens = Math.max(microbatchTokens, sequenceTokens);
  const width = heads * headSize;
  const keyWidth = keyValueHeads * headSize;
  // Saved a layer: its input, query, key, value, attention's result, middle, gate, up.
  const saved = 2 * hiddenSize + 2 * width + 2 * keyWidth + 2 * intermediateSize;
  // Alive within one layer's backward pass, at most.
  const passing = 8 * hiddenSize + 4 * width + 4 * intermediateSize;
  const pairs = Math.max(sequenceTokens ** 2, Math.min(scoresInMemory / heads, tokens * sequenceTokens));
  const chunkRows = Math.max(1, Math.min(tokens, Math.floor(headChunkBytes / (4 * vocabularySize))));
  return [
    {
      name: "activations",
      bytes: 4 * tokens * (layers * saved + passing),
      note: `microbatch of ${tokens} tokens, ${layers} layers`,
    },
    {
      name: "attention scores",
      bytes: 4 * pairs * (scoreTensors * heads + 1),
      note: "of one layer at a time",
    },
    {
      name: "head",
      bytes: 4 * (2 * chunkRows * vocabularySize + 3 * tokens * hiddenSize),
      note: `logits in chunks of ${chunkRows} rows`,
    },
  ];
}

/**
 * Bytes that this process can still take without swapping: the container's limit where there is one.
 * macOS counts memory that it would give back as used, so there a share of the whole stands in.
 */
export function availableMemory(): number {
  if (process.platform === "darwin") return 0.75 * totalmem() - process.memoryUsage.rss();
  return process.availableMemory();
}

/** Tokens that every slot can hold in `available` bytes, up to the context. */
export function cacheRoom(plan: MemoryPlan, available: number = availableMemory()): number {
  const left = available - plan.totalBytes + plan.cacheTokens * plan.cacheBytesPerToken;
  const room = Math.floor(left / plan.cacheBytesPerToken);
  return Math.max(0, Math.min(plan.settings.contextLength, room));
}

/** What there is, in bytes. */
export interface Memory {
  /** What this process can still take; decides whether a plan is refused. */
  readonly available: number;
  /** What the machine or container has; decides on settings, so that they do not vary from run to run. */
  readonly total: number;
}

export function measureMemory(): Memory {
  const limit = process.constrainedMemory();
  return { available: availableMemory(), total: limit > 0 ? Math.min(limit, totalmem()) : totalmem() };
}

/** The share of a machine that a policy may plan to fill. */
const planShare = 0.8;

/**
 * The plan that is carried out: where `microbatchTokens` is not given, it is halved until the plan fits the machine.
 * A smaller microbatch gives the same gradients in less memory, somewhat slower.
 *
 * @throws MemoryPlanError if the plan does not fit what is available.
 */
export function fitMemory(
  config: DecoderConfig,
  settings: MemorySettings = {},
  { available, total }: Memory = measureMemory(),
): MemoryPlan {
  let plan = memoryPlan(config, settings);
  while (
    settings.microbatchTokens === undefined &&
    plan.totalBytes > planShare * total &&
    plan.settings.trainable &&
    plan.settings.microbatchTokens > leastMicrobatch
  ) {
    plan = memoryPlan(config, { ...settings, microbatchTokens: plan.settings.microbatchTokens / 2 });
  }
  checkMemory(plan, available);
  return plan;
}

/** Refuses a plan that does not fit, with the numbers and what would fit. */
export function checkMemory(plan: MemoryPlan, available: number = availableMemory()): void {
  if (plan.totalBytes <= available) return;
  const largest = [...plan.parts].sort((a, b) => b.bytes - a.bytes).slice(0, 3);
  throw new MemoryPlanError({
    code: "E_MEMORY_PLAN",
    message: `The model needs ${gigabytes(plan.totalBytes)}; ${gigabytes(Math.max(0, available))} are available. Most of it: ${largest
      .map(({ name, bytes, note }) => `${name} ${gigabytes(bytes)} (${note})`)
      .join(", ")}.`,
    hint: advice(plan, available),
    facts: {
      totalBytes: plan.totalBytes,
      available,
      parts: Object.fromEntries(plan.parts.map(({ name, bytes }) => [name, bytes])),
    },
  });
}

/** What to change, in the order of what it costs the user. */
function advice({ parts, totalBytes, settings }: MemoryPlan, available: number): string {
  const bytes = (...names: readonly string[]) =>
    parts.filter(({ name }) => names.includes(name)).reduce((sum, part) => sum + part.bytes, 0);
  const excess = totalBytes - available;
  if (bytes("weights", "process") > available) return "the weights alone do not fit: choose a smaller model.";
  const steps = [
    bytes("keys and values", "sampling") > 0.25 * excess && `lower slots (${settings.slots})`,
    bytes("attention scores") > 0.25 * excess &&
      `set contextLength (${settings.contextLength}) to what your sequences need`,
    bytes("activations") > 0.25 * excess && `lower microbatchTokens (${settings.microbatchTokens})`,
    bytes("gradients", "AdamW moments") > 0.25 * excess && "train a LoRA adapter instead of all weights",
  ].filter((step) => step !== false);
  return `${steps.length > 0 ? steps.join("; or ") : "close other programs"}; or choose a smaller model.`;
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;

function count(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(2)} billion`;
  return parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} million` : String(parameters);
}
