/** @file Small policies and batches for tests of training, and their float64 reference. */

import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import {
  adapterShapes,
  decoderShapes,
  headName,
  type LoraSettings,
  parameterTable,
  valueHeadShapes,
} from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { TrainingGraphs } from "../../../../src/engine/local/training/training-graphs.ts";
import {
  TrainingModel,
  type TrainingModelOptions,
} from "../../../../src/engine/local/training/training-model.ts";
import type { TokenGradients, TrainingSequence } from "../../../../src/engine/policy.ts";
import { asFloat64, fillRandomly, uniform } from "../model/fixtures.ts";
import { type ReferenceWeights, referenceHidden } from "../model/reference-decoder.ts";
import { referenceHead } from "../model/reference-head.ts";

export const lora: LoraSettings = {
  rank: 3,
  alpha: 6,
  targets: ["q_proj", "v_proj", "gate_proj", "down_proj"],
};

export interface SmallPolicy {
  readonly config: DecoderConfig;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | null;
  readonly graphs: TrainingGraphs;
  readonly model: TrainingModel;
}

/** Random weights with value heads, by default one; trained whole, or through an adapter. */
export async function smallPolicy(
  backend: OrtBackend,
  config: DecoderConfig,
  options: { readonly adapted?: boolean; readonly heads?: number } & Omit<
    TrainingModelOptions,
    "weights" | "adapter"
  > = {},
): Promise<SmallPolicy> {
  const { adapted = false, heads = 1, ...rest } = options;
  const head = valueHeadShapes(config, heads);
  const weights = new FlatTensors(
    backend,
    parameterTable([...decoderShapes(config), ...(adapted ? [] : head)]),
  );
  fillRandomly(weights.table, weights.flat, 7);
  const adapter = adapted
    ? new FlatTensors(backend, parameterTable([...adapterShapes(config, lora), ...head]))
    : null;
  if (adapter) fillRandomly(adapter.table, adapter.flat, 8);
  const graphs = await TrainingGraphs.create(backend, config, adapted ? { lora } : {});
  const model = new TrainingModel(graphs, { weights, ...(adapter && { adapter }), ...rest });
  return { config, weights, adapter, graphs, model };
}

export function scoredCount(batch: readonly TrainingSequence[]): number {
  return batch.reduce((sum, { mask }) => sum + mask.reduce((n, bit) => n + bit, 0), 0);
}

export function randomGradients(count: number, seed: number, terms = true, heads = 1): TokenGradients {
  const next = uniform(seed);
  const draw = (length = count) => Float32Array.from({ length }, () => next() - 0.5);
  return { logprobs: draw(), ...(terms && { entropies: draw(), values: draw(count * heads) }) };
}

/** Each sequence alone, in plain loops and float64. The weights of the result may be nudged. */
export function reference({ config, weights, adapter }: SmallPolicy, batch: readonly TrainingSequence[]) {
  const base: ReferenceWeights = asFloat64(weights.table, weights.flat);
  const adapted = adapter && { weights: asFloat64(adapter.table, adapter.flat), settings: lora };
  const trained = adapted ? adapted.weights : base;
  const evaluate = () => {
    const result = { logprobs: [] as number[], entropies: [] as number[], values: [] as number[] };
    for (const { tokens, mask, temperature = 1 } of batch) {
      const width = tokens.length;
      const rows = referenceHidden(
        config,
        base,
        {
          rows: 1,
          width,
          tokens,
          positions: Int32Array.from(tokens, (_, i) => i),
          end: new Int32Array(width).fill(width),
        },
        adapted,
      );
      const scored = Array.from(tokens.keys()).filter((i) => mask[i] === 1);
      const hidden = scored.map((i) => rows[i - 1]!);
      const { logprobs, entropies } = referenceHead({
        hidden,
        weight: base.get(headName(config))!,
        targets: scored.map((i) => tokens[i]!),
        inverseTemperatures: scored.map(() => 1 / temperature),
      });
      result.logprobs.push(...logprobs);
      result.entropies.push(...entropies);
      const [w, b] = [trained.get("value_head.weight")!, trained.get("value_head.bias")!];
      for (const h of hidden) {
        for (const [k, bias] of b.entries())
          result.values.push(h.reduce((sum, x, d) => sum + x * w[k * h.length + d]!, bias));
      }
    }
    return result;
  };
  const objective = (gradients: TokenGradients): number => {
    const { logprobs, entropies, values } = evaluate();
    const dot = (a: readonly number[], b: Float32Array | undefined) =>
      b ? a.reduce((sum, x, i) => sum + x * b[i]!, 0) : 0;
    return (
      dot(logprobs, gradients.logprobs) + dot(entropies, gradients.entropies) + dot(values, gradients.values)
    );
  };
  return { evaluate, objective, trained };
}

export function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
  return difference;
}

/** Largest difference relative to the largest element of each tensor. */
export function worstOfTensors(a: FlatTensors, b: FlatTensors): number {
  return Math.max(
    ...a.table.parameters.map(({ name }) => {
      const largest = a.view(name).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      return worst(a.view(name), b.view(name)) / Math.max(largest, 1e-3);
    }),
  );
}
