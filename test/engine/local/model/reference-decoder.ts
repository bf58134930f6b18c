/**
 * @file A decoder in plain loops and float64, written from the models' definitions and from nothing in `src/` but
 * the parameter names: the oracle for every graph. Slow on purpose.
 */

import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import type { PackedRows } from "../../../../src/engine/local/model/packed.ts";
import type { LoraSettings } from "../../../../src/engine/local/model/parameters.ts";

export type ReferenceWeights = ReadonlyMap<string, Float64Array>;
type Layout = Pick<PackedRows, "rows" | "width" | "tokens" | "positions" | "end">;

/** y = weight·x, weight [out, in]. */
function multiply(weight: Float64Array, x: Float64Array): Float64Array {
  const out = new Float64Array(weight.length / x.length);
  for (let o = 0; o < out.length; o++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += weight[o * x.length + i]! * x[i]!;
    out[o] = sum;
  }
  return out;
}

function norm(x: Float64Array, weight: Float64Array, epsilon: number): Float64Array {
  const meanSquare = x.reduce((sum, v) => sum + v * v, 0) / x.length;
  return x.map((v, i) => (v / Math.sqrt(meanSquare + epsilon)) * weight[i]!);
}

const plus = (a: Float64Array, b: Float64Array): Float64Array => a.map((v, i) => v + b[i]!);
const silu = (z: number): number => z / (1 + Math.exp(-z));

/** Hidden state after the final norm of each position, one array a position, [rows · width]. */
export function referenceHidden(
  config: DecoderConfig,
  weights: ReferenceWeights,
  { rows, width, tokens, positions, end }: Layout,
  adapter: { readonly weights: ReferenceWeights; readonly settings: LoraSettings } | null = null,
): Float64Array[] {
  const { headSize, heads, keyValueHeads, hiddenSize, normEpsilon, rope } = config;
  const get = (name: string): Float64Array => {
    const tensor = weights.get(name);
    if (!tensor) throw new Error(`The reference has no "${name}".`);
    return tensor;
  };
  const project = (name: string, x: Float64Array): Float64Array => {
    let y = multiply(get(`${name}.weight`), x);
    const bias = weights.get(`${name}.bias`);
    if (bias) y = plus(y, bias);
    const a = adapter?.weights.get(`${name}.lora_A.weight`);
    if (adapter && a) {
      const narrow = multiply(a, x);
      const wide = multiply(adapter.weights.get(`${name}.lora_B.weight`)!, narrow);
      y = plus(
        y,
        wide.map((v) => (v * adapter.settings.alpha) / adapter.settings.rank),
      );
    }
    return y;
  };
  const heads3 = (prefix: string, kind: "q" | "k", x: Float64Array, position: number): Float64Array[] => {
    const flat = project(`${prefix}self_attn.${kind}_proj`, x);
    return Array.from({ length: flat.length / headSize }, (_, h) => {
      let head: Float64Array = flat.slice(h * headSize, (h + 1) * headSize);
      if (config.queryKeyNorm) head = norm(head, get(`${prefix}self_attn.${kind}_norm.weight`), normEpsilon);
      const half = headSize / 2;
      return head.map((v, i) => {
        const angle = position * rope.inverseFrequencies[i % half]!;
        const partner = i < half ? -head[i + half]! : head[i - half]!;
        return (v * Math.cos(angle) + partner * Math.sin(angle)) * rope.attentionFactor;
      });
    });
  };

  const embedding = get("model.embed_tokens.weight");
  let x: Float64Array[] = Array.from(tokens, (t) => embedding.slice(t * hiddenSize, (t + 1) * hiddenSize));
  for (let layer = 0; layer < config.layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const normed = x.map((v) => norm(v, get(`${prefix}input_layernorm.weight`), normEpsilon));
    const query = normed.map((v, i) => heads3(prefix, "q", v, positions[i]!));
    const key = normed.map((v, i) => heads3(prefix, "k", v, positions[i]!));
    const value = normed.map((v) => project(`${prefix}self_attn.v_proj`, v));
    x = x.map((residual, at) => {
      const start = Math.floor(at / width) * width;
      const context = new Float64Array(heads * headSize);
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / (heads / keyValueHeads));
        const seen: number[] = [];
        for (let j = start; j <= at; j++) if (at - start < end[j]!) seen.push(j);
        const scores = seen.map(
          (j) => query[at]![h]!.reduce((sum, q, i) => sum + q * key[j]![group]![i]!, 0) / Math.sqrt(headSize),
        );
        const top = Math.max(...scores);
        const weightsOfHead = scores.map((s) => Math.exp(s - top));
        const total = weightsOfHead.reduce((a, b) => a + b, 0);
        seen.forEach((j, n) => {
          for (let i = 0; i < headSize; i++) {
            context[h * headSize + i]! += (weightsOfHead[n]! / total) * value[j]![group * headSize + i]!;
          }
        });
      }
      const middle = plus(residual, project(`${prefix}self_attn.o_proj`, context));
      const inner = norm(middle, get(`${prefix}post_attention_layernorm.weight`), normEpsilon);
      const gate = project(`${prefix}mlp.gate_proj`, inner);
      const up = project(`${prefix}mlp.up_proj`, inner);
      const gated = gate.map((z, i) => silu(z) * up[i]!);
      return plus(middle, project(`${prefix}mlp.down_proj`, gated));
    });
  }
  if (rows * width !== x.length) throw new Error("rows · width is not the number of tokens");
  return x.map((v) => norm(v, get("model.norm.weight"), normEpsilon));
}
