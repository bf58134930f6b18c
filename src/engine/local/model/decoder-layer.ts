/**
 * @file One decoder layer on the tape (Llama, Qwen2, Qwen3):
 * middle = x + attention(norm(x)); y = middle + down(silu(gate(n))·up(n)) with n = norm(middle).
 * All layers have the same graph, so there is one session for each direction, run once per layer with that
 * layer's weights; what one layer saved can be freed before the next is run backward.
 */

import { attention, mergeHeads, splitHeads } from "../graph/attention.ts";
import {
  add,
  linear,
  linearOnto,
  type RotaryTables,
  reshapeRows,
  rmsNorm,
  rotary,
  swiglu,
} from "../graph/operations.ts";
import { Tape, type Variable } from "../graph/tape.ts";
import type { DecoderConfig } from "./config.ts";
import { decoderShapes, type LoraSettings, layerPrefix } from "./parameters.ts";

export interface LayerSettings {
  /** The layer's own weights get gradients. */
  readonly trainable: boolean;
  readonly lora: LoraSettings | null;
  /** `true`: matrix products' results are handed to the backward graph; the rest of it computes everything again. */
  readonly save: boolean;
  /** Runs of queries in attention: 1 for short rows, more for long ones. */
  readonly attentionBlocks: number;
}

/** Every result of a matrix product but the attention probabilities: nothing but elementwise work is repeated. */
const savedProducts = (config: DecoderConfig, blocks: number): readonly string[] => [
  ...(config.queryKeyNorm ? ["query.rows", "key.rows"] : ["query", "key"]),
  "value",
  ...Array.from({ length: blocks }, (_, block) => `context.${block}`),
  "middle",
  "gate",
  "up",
];

/** Inputs `x` [M, D], `positions` int64 [R, T], `mask` [R, 1, T, T] and the rotary tables; output `y` [M, D]. */
export function layerTape(config: DecoderConfig, settings: LayerSettings): Tape {
  const { trainable, lora, attentionBlocks } = settings;
  const { hiddenSize, heads, keyValueHeads, headSize, normEpsilon } = config;
  const tape = new Tape(settings.save ? savedProducts(config, attentionBlocks) : []);
  const x = tape.input("x", ["M", hiddenSize], { differentiable: trainable || lora !== null });
  const positions = tape.input("positions", ["R", "T"], { type: "int64" });
  const mask = tape.input("mask", ["R", 1, "T", "T"]);
  const half = headSize / 2;
  const tables: RotaryTables = {
    positions,
    cosines: tape.input("cosines", ["P", half]),
    sines: tape.input("sines", ["P", half]),
    negatedSines: tape.input("negatedSines", ["P", half]),
  };

  const shapes = new Map(
    decoderShapes(config)
      .filter(([name]) => name.startsWith(layerPrefix(0)))
      .map(([name, shape]) => [name.slice(layerPrefix(0).length), shape]),
  );
  const weight = (name: string): Variable => tape.parameter(name, shapes.get(name)!, trainable);
  const project = (input: Variable, suffix: string, name: string): Variable => {
    const bias = shapes.has(`${suffix}.bias`) ? weight(`${suffix}.bias`) : null;
    const adapted = lora?.targets.some((target) => suffix.endsWith(`.${target}`)) ? lora : null;
    const base = linear(tape, input, weight(`${suffix}.weight`), bias, adapted ? `${name}.base` : name);
    if (!adapted) return base;
    const [out, size] = shapes.get(`${suffix}.weight`) as [number, number];
    const a = tape.parameter(`${suffix}.lora_A.weight`, [adapted.rank, size], true);
    const b = tape.parameter(`${suffix}.lora_B.weight`, [out, adapted.rank], true);
    const narrow = linear(tape, input, a, null, `${name}.narrow`);
    return linearOnto(tape, base, narrow, b, adapted.alpha / adapted.rank, name);
  };
  const split = (rows: Variable, count: number, name?: string): Variable =>
    splitHeads(tape, rows, positions, count, headSize, name);
  /** [M, count·headSize] → normed per head where the model does so, turned by position: [R, count, T, headSize]. */
  const turned = (rows: Variable, count: number, name: "query" | "key"): Variable => {
    let headRows = rows;
    if (config.queryKeyNorm) {
      const perHead = reshapeRows(tape, rows, [`M*${count}`, headSize]);
      const normed = rmsNorm(tape, perHead, weight(`self_attn.${name[0]}_norm.weight`), normEpsilon);
      headRows = reshapeRows(tape, normed, ["M", count * headSize]);
    }
    return rotary(tape, split(headRows, count), tables, name);
  };

  const normed = rmsNorm(tape, x, weight("input_layernorm.weight"), normEpsilon, "normed");
  const query = turned(project(normed, "self_attn.q_proj", "query.rows"), heads, "query");
  const key = turned(project(normed, "self_attn.k_proj", "key.rows"), keyValueHeads, "key");
  const value = split(project(normed, "self_attn.v_proj", "value.rows"), keyValueHeads, "value");
  const heard = attention(tape, { query, key, value, mask }, config, "context", attentionBlocks);
  const context = mergeHeads(tape, heard, positions, "context");
  const middle = add(tape, x, project(context, "self_attn.o_proj", "attended"), "middle");

  const inner = rmsNorm(tape, middle, weight("post_attention_layernorm.weight"), normEpsilon, "inner");
  const gate = project(inner, "mlp.gate_proj", "gate");
  const up = project(inner, "mlp.up_proj", "up");
  const y = add(tape, middle, project(swiglu(tape, gate, up, "gated"), "mlp.down_proj", "projected"), "y");
  tape.output(y);
  return tape;
}
