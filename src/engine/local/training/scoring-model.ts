/**
 * @file One policy's weights where they only score: log-probs, entropies and values of given tokens. No gradients, no
 * moments, no activations that outlive a microbatch; so a frozen policy or a reference costs its weights alone.
 */

import type { ForwardOptions, ForwardResult, TrainingSequence } from "../../policy.ts";
import type { HeadRows } from "../model/head.ts";
import { headName } from "../model/parameters.ts";
import { valueForward, valueHeadsOf } from "../model/value-head.ts";
import type { FlatTensors } from "../model/weights.ts";
import type { OrtTensor } from "../ort/backend.ts";
import { TrainingError } from "./errors.ts";
import { type Microbatch, type PackBudget, type PackedBatch, type PackOptions, packBatch } from "./pack.ts";
import { packCosts } from "./pack-costs.ts";
import { scatterToBatch } from "./token-arrays.ts";
import type { ScoringGraphs } from "./training-graphs.ts";

export interface ScoringModelOptions {
  /** The model's weights; frozen where there is an adapter. */
  readonly weights: FlatTensors;
  /** The adapter's, where the graphs were made with lora settings. */
  readonly adapter?: FlatTensors;
  /** Longest sequence. Default: the model's context. */
  readonly contextLength?: number;
  /** Positions of one microbatch. Default 8192. */
  readonly microbatchTokens?: number;
  /** Default true: sequences that share prefixes are computed once. */
  readonly sharePrefixes?: boolean;
}

/** Attention scores of one layer in memory at once (R·heads·T²); the backward pass has about five such tensors. */
export const scoresInMemory = 2 ** 24;

export class ScoringModel {
  readonly graphs: ScoringGraphs;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | null;
  /** How batches are packed. */
  readonly pack: PackOptions;
  /** Where a value head would be: beside the weights that train. */
  readonly #own: FlatTensors;

  constructor(graphs: ScoringGraphs, options: ScoringModelOptions) {
    const { config } = graphs;
    const { weights, adapter = null, microbatchTokens = 8192, sharePrefixes = true } = options;
    this.graphs = graphs;
    this.weights = weights;
    this.adapter = adapter;
    this.#own = adapter ?? weights;
    const budget: PackBudget = {
      tokens: microbatchTokens,
      pairs: Math.floor(scoresInMemory / config.heads),
    };
    this.pack = {
      vocabularySize: config.vocabularySize,
      contextLength: Math.min(options.contextLength ?? config.contextLength, config.contextLength),
      budget,
      costs: packCosts(config),
      share: sharePrefixes,
    };
  }

  /** Values of each position; 0 without a value head. */
  get valueHeads(): number {
    return valueHeadsOf(this.#own);
  }

  forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): ForwardResult {
    this.checkValues(options.values);
    try {
      return this.forwardPacked(packBatch(batch, this.pack), options);
    } finally {
      this.graphs.head.release();
    }
  }

  forwardPacked(packed: PackedBatch, options: ForwardOptions): ForwardResult {
    const result = emptyResult(packed.scoredCount, options, this.valueHeads);
    for (const microbatch of packed.microbatches) {
      const hidden = this.graphs.body.hidden(this.weights, this.adapter, microbatch.packed);
      try {
        this.runHead(microbatch, hidden, options, result);
      } finally {
        hidden.dispose();
      }
    }
    return result;
  }

  /** What the head is run on. */
  rows({ packed }: Microbatch, hidden: OrtTensor): HeadRows {
    return {
      hidden,
      weight: this.weights.tensor(headName(this.graphs.config)),
      targets: packed.targets,
      inverseTemperatures: packed.inverseTemperatures,
    };
  }

  /** Log-probs and what else is asked for, [N] each (values [N, K]); also written to their places of `result`. */
  runHead(
    microbatch: Microbatch,
    hidden: OrtTensor,
    { entropy = false, values: wantValues = false }: ForwardOptions,
    result: ForwardResult,
  ): ForwardResult {
    const { logprobs, entropies } = this.graphs.head.forward(this.rows(microbatch, hidden), { entropy });
    scatterToBatch(microbatch, logprobs, result.logprobs);
    if (entropies) scatterToBatch(microbatch, entropies, result.entropies!);
    const values = wantValues ? valueForward(this.#own, hidden) : null;
    if (values) scatterToBatch(microbatch, values, result.values!, this.valueHeads);
    return { logprobs, ...(entropies && { entropies }), ...(values && { values }) };
  }

  checkValues(wanted: boolean | undefined): void {
    if (!wanted || this.valueHeads > 0) return;
    throw new TrainingError({
      code: "E_NO_VALUE_HEAD",
      message: "Values were asked for, but this policy has no value head.",
      hint: "open the policy with valueHead: true, or with the number of heads",
    });
  }
}

export function emptyResult(
  count: number,
  { entropy, values }: ForwardOptions,
  valueHeads: number,
): ForwardResult {
  return {
    logprobs: new Float32Array(count),
    ...(entropy && { entropies: new Float32Array(count) }),
    ...(values && { values: new Float32Array(count * valueHeads) }),
  };
}
