/**
 * @file The parameter table: which tensors a decoder has, in one fixed order, and where each lies in the flat buffer.
 * Names and shapes are those of Hugging Face checkpoints; linear weights are [out, in].
 */

import type { DecoderConfig } from "./config.ts";

export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** First element in the flat buffer; a multiple of 16 floats, so that each tensor starts on a cache line. */
  readonly offset: number;
  readonly length: number;
  /** Weight decay applies: matrices yes; norms and biases no. */
  readonly decay: boolean;
}

export interface ParameterTable {
  readonly parameters: readonly Parameter[];
  readonly byName: ReadonlyMap<string, Parameter>;
  /** Elements of the flat buffer, alignment gaps (always zero) included. */
  readonly flatLength: number;
  /** Elements without gaps. */
  readonly count: number;
}

const alignment = 16;

/** Lays tensors out one after another. */
export function parameterTable(
  shapes: readonly (readonly [name: string, shape: readonly number[]])[],
): ParameterTable {
  let offset = 0;
  let count = 0;
  const parameters = shapes.map(([name, shape]): Parameter => {
    const length = shape.reduce((a, b) => a * b, 1);
    const parameter = { name, shape, offset, length, decay: shape.length >= 2 };
    offset += Math.ceil(length / alignment) * alignment;
    count += length;
    return parameter;
  });
  return { parameters, byName: new Map(parameters.map((p) => [p.name, p])), flatLength: offset, count };
}

export const embeddingName = "model.embed_tokens.weight";
export const finalNormName = "model.norm.weight";
/** The head's weight: its own, or the embedding where they are tied. */
export const headName = (config: DecoderConfig): string =>
  config.tiedHead ? embeddingName : "lm_head.weight";
export const layerPrefix = (layer: number): string => `model.layers.${layer}.`;

/** The linear maps of one layer that LoRA can adapt: suffix, output size, input size. */
export function layerLinears(
  config: DecoderConfig,
): readonly (readonly [suffix: string, out: number, input: number])[] {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config;
  return [
    ["self_attn.q_proj", heads * headSize, hiddenSize],
    ["self_attn.k_proj", keyValueHeads * headSize, hiddenSize],
    ["self_attn.v_proj", keyValueHeads * headSize, hiddenSize],
    ["self_attn.o_proj", hiddenSize, heads * headSize],
    ["mlp.gate_proj", intermediateSize, hiddenSize],
    ["mlp.up_proj", intermediateSize, hiddenSize],
    ["mlp.down_proj", hiddenSize, intermediateSize],
  ];
}

function hasBias(config: DecoderConfig, suffix: string): boolean {
  if (suffix.startsWith("mlp.")) return config.mlpBias;
  return suffix === "self_attn.o_proj" ? config.attentionOutputBias : config.queryKeyValueBias;
}

/** All tensors of a decoder's checkpoint. */
export function decoderShapes(config: DecoderConfig): (readonly [string, readonly number[]])[] {
  const { hiddenSize, headSize, vocabularySize } = config;
  const shapes: (readonly [string, readonly number[]])[] = [[embeddingName, [vocabularySize, hiddenSize]]];
  for (let layer = 0; layer < config.layers; layer++) {
    const prefix = layerPrefix(layer);
    shapes.push([`${prefix}input_layernorm.weight`, [hiddenSize]]);
    for (const [suffix, out, input] of layerLinears(config)) {
      if (suffix === "mlp.gate_proj") shapes.push([`${prefix}post_attention_layernorm.weight`, [hiddenSize]]);
      shapes.push([`${prefix}${suffix}.weight`, [out, input]]);
      if (hasBias(config, suffix)) shapes.push([`${prefix}${suffix}.bias`, [out]]);
      if (config.queryKeyNorm && (suffix === "self_attn.q_proj" || suffix === "self_attn.k_proj")) {
        shapes.push([`${prefix}self_attn.${suffix.at(10)}_norm.weight`, [headSize]]);
      }
    }
  }
  shapes.push([finalNormName, [hiddenSize]]);
  if (!config.tiedHead) shapes.push(["lm_head.weight", [vocabularySize, hiddenSize]]);
  return shapes;
}

/** Low-rank adapters (Hu et al., 2021): y += (alpha / rank) · B(Ax). */
export interface LoraSettings {
  readonly rank: number;
  readonly alpha: number;
  /** Linear maps by their last name, as PEFT's `target_modules`. */
  readonly targets: readonly (
    | "q_proj"
    | "k_proj"
    | "v_proj"
    | "o_proj"
    | "gate_proj"
    | "up_proj"
    | "down_proj"
  )[];
}

/** `model.layers.0.self_attn.q_proj.lora_A.weight` [rank, in] and `….lora_B.weight` [out, rank]. */
export function adapterShapes(
  config: DecoderConfig,
  lora: LoraSettings,
): (readonly [string, readonly number[]])[] {
  const shapes: (readonly [string, readonly number[]])[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [suffix, out, input] of layerLinears(config)) {
      if (!(lora.targets as readonly string[]).includes(suffix.slice(suffix.indexOf(".") + 1))) continue;
      shapes.push([`${layerPrefix(layer)}${suffix}.lora_A.weight`, [lora.rank, input]]);
      shapes.push([`${layerPrefix(layer)}${suffix}.lora_B.weight`, [out, lora.rank]]);
    }
  }
  return shapes;
}

/** `heads` values per position from the final hidden state: v_k = w_k·h + b_k. None for 0 heads. */
export function valueHeadShapes(config: DecoderConfig, heads = 1): (readonly [string, readonly number[]])[] {
  if (heads === 0) return [];
  return [
    ["value_head.weight", [heads, config.hiddenSize]],
    ["value_head.bias", [heads]],
  ];
}
