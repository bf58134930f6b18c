/**
 * @file One policy's weights in training: forward, backward, step, on this thread. Batches are packed into
 * microbatches; activations live for one microbatch at a time, or for the whole batch where it is small enough and
 * the caller asks for it.
 */

import type {
  ForwardOptions,
  ForwardResult,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainingSequence,
} from "../../policy.ts";
import { AdamW } from "../model/adamw.ts";
import type { BodyActivations } from "../model/body.ts";
import { headName } from "../model/parameters.ts";
import { valueBackward } from "../model/value-head.ts";
import { FlatTensors } from "../model/weights.ts";
import type { OrtTensor } from "../ort/backend.ts";
import { TrainingError } from "./errors.ts";
import { type Microbatch, type PackedBatch, packBatch } from "./pack.ts";
import { sameBatch } from "./same-batch.ts";
import { emptyResult, ScoringModel, type ScoringModelOptions } from "./scoring-model.ts";
import {
  anyNonZero,
  checkTokenGradients,
  collect,
  gatherFromBatch,
  scatterToBatch,
  spread,
} from "./token-arrays.ts";
import type { TrainingGraphs } from "./training-graphs.ts";

/** Where there is an adapter, it is what trains. */
export type TrainingModelOptions = ScoringModelOptions;

/** What a streaming loss is told of a microbatch. */
export interface MicrobatchView {
  /** Indices of its sequences in the batch, ascending; the arrays of its result follow this order. */
  readonly sequences: Int32Array;
  /** Place of each element in arrays that are flat over the whole batch. */
  readonly places: Int32Array;
}

export interface TargetsResult {
  /** −Σ weight · log-prob. */
  readonly loss: number;
  /** [S] */
  readonly logprobs: Float32Array;
}

interface Retained {
  readonly batch: readonly TrainingSequence[];
  readonly packed: PackedBatch;
  readonly activations: readonly BodyActivations[];
}

export class TrainingModel {
  readonly graphs: TrainingGraphs;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | null;
  /** What the optimiser changes: the adapter, or all weights. Includes the value heads where there are any. */
  readonly trained: FlatTensors;
  readonly gradients: FlatTensors;
  /** Its moments and step count are what a checkpoint needs besides `trained`. */
  readonly optimizer: AdamW;
  readonly #scoring: ScoringModel;
  #retained: Retained | null = null;
  #accumulated = false;
  /** A pass has added some microbatches and not yet all; stays true where it failed. */
  #incomplete = false;

  constructor(graphs: TrainingGraphs, options: TrainingModelOptions) {
    const { weights, adapter = null } = options;
    this.graphs = graphs;
    this.weights = weights;
    this.adapter = adapter;
    this.trained = adapter ?? weights;
    this.gradients = new FlatTensors(graphs.backend, this.trained.table);
    this.optimizer = new AdamW(graphs.optimizer, this.trained, this.gradients);
    this.#scoring = new ScoringModel(graphs, options);
  }

  /** Optimiser steps taken. */
  get version(): number {
    return this.optimizer.steps;
  }

  /** Values of each position; 0 without a value head. */
  get valueHeads(): number {
    return this.#scoring.valueHeads;
  }

  /** Elements that the optimiser changes. */
  get parameterCount(): number {
    return this.trained.table.count;
  }

  forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): ForwardResult {
    this.#release();
    this.#scoring.checkValues(options.values);
    const packed = packBatch(batch, this.#scoring.pack);
    const retain = options.retain === true && packed.positions <= this.#scoring.pack.budget.tokens;
    if (!retain) return this.#scoring.forwardPacked(packed, options);
    const result = emptyResult(packed.scoredCount, options, this.valueHeads);
    const kept: BodyActivations[] = [];
    try {
      for (const microbatch of packed.microbatches) {
        const activations = this.graphs.body.forward(this.weights, this.adapter, microbatch.packed);
        kept.push(activations);
        this.#scoring.runHead(microbatch, activations.hidden, options, result);
      }
    } catch (error) {
      for (const activations of kept) activations.dispose();
      throw error;
    }
    this.#retained = { batch, packed, activations: kept };
    return result;
  }

  /** Adds ∂L/∂θ to the gradients. */
  backward(batch: readonly TrainingSequence[], gradients: TokenGradients): void {
    const retained = this.#retained && sameBatch(this.#retained.batch, batch) ? this.#retained : null;
    if (!retained) this.#release();
    this.#retained = null;
    const heads = this.valueHeads;
    try {
      this.#scoring.checkValues(gradients.values !== undefined);
      // A sequence without gradient adds exactly nothing: groups whose rewards are all equal cost no backward pass.
      const packed =
        retained?.packed ??
        packBatch(batch, this.#scoring.pack, (from, to) => anyNonZero(gradients, from, to, heads));
      checkTokenGradients(gradients, packed.scoredCount, heads);
      this.#accumulated ||= packed.scoredCount > 0;
      packed.microbatches.forEach((microbatch, i) => {
        const activations =
          retained?.activations[i] ?? this.graphs.body.forward(this.weights, this.adapter, microbatch.packed);
        this.#differentiate(microbatch, activations, {
          logprobs: gatherFromBatch(microbatch, gradients.logprobs),
          ...(gradients.entropies && { entropies: gatherFromBatch(microbatch, gradients.entropies) }),
          ...(gradients.values && { values: gatherFromBatch(microbatch, gradients.values, heads) }),
        });
      });
      this.#incomplete = false;
    } finally {
      for (const activations of retained?.activations ?? []) activations.dispose();
    }
  }

  /**
   * Forward and backward with one microbatch's activations alive at a time, where the loss of a sequence does not
   * depend on other sequences' log-probs. `lossGradient` sees one microbatch and answers in its order.
   */
  forwardBackward(
    batch: readonly TrainingSequence[],
    lossGradient: (view: MicrobatchView, result: ForwardResult) => TokenGradients,
    options: Omit<ForwardOptions, "retain"> = {},
  ): ForwardResult {
    this.#release();
    this.#scoring.checkValues(options.values);
    const packed = packBatch(batch, this.#scoring.pack);
    const heads = this.valueHeads;
    const all = emptyResult(packed.scoredCount, options, this.valueHeads);
    for (const microbatch of packed.microbatches) {
      const activations = this.graphs.body.forward(this.weights, this.adapter, microbatch.packed);
      try {
        const rows = this.#scoring.runHead(microbatch, activations.hidden, options, all);
        const gradients = lossGradient(microbatch, {
          logprobs: spread(microbatch, rows.logprobs),
          ...(rows.entropies && { entropies: spread(microbatch, rows.entropies) }),
          ...(rows.values && { values: spread(microbatch, rows.values, heads) }),
        });
        this.#scoring.checkValues(gradients.values !== undefined);
        checkTokenGradients(gradients, microbatch.places.length, heads);
        this.#differentiate(microbatch, activations, {
          logprobs: collect(microbatch, gradients.logprobs),
          ...(gradients.entropies && { entropies: collect(microbatch, gradients.entropies) }),
          ...(gradients.values && { values: collect(microbatch, gradients.values, heads) }),
        });
      } finally {
        activations.dispose();
      }
    }
    this.#incomplete = false;
    return all;
  }

  /**
   * Weighted cross-entropy, L = −Σ weight·ℓ: supervised fine-tuning and pretraining. The logits are computed once,
   * as ∂L/∂ℓ is known beforehand. `weights` is flat over the scored tokens; default 1 / their number, the mean.
   */
  trainOnTargets(batch: readonly TrainingSequence[], weights?: Float32Array): TargetsResult {
    this.#release();
    const packed = packBatch(batch, this.#scoring.pack);
    const { scoredCount } = packed;
    const slopes = weights?.map((w) => -w) ?? new Float32Array(scoredCount).fill(-1 / scoredCount);
    checkTokenGradients({ logprobs: slopes }, scoredCount, 0);
    const logprobs = new Float32Array(scoredCount);
    for (const microbatch of packed.microbatches) {
      const activations = this.graphs.body.forward(this.weights, this.adapter, microbatch.packed);
      try {
        this.#incomplete = true;
        const hidden = this.#hiddenGradient(activations.hidden);
        const result = this.graphs.head.forwardBackward(
          this.#scoring.rows(microbatch, activations.hidden),
          { logprobs: gatherFromBatch(microbatch, slopes) },
          { hidden, weight: this.#headGradient() },
        );
        scatterToBatch(microbatch, result.logprobs, logprobs);
        this.#differentiateBody(activations, hidden);
      } finally {
        activations.dispose();
      }
    }
    this.#incomplete = false;
    const loss = logprobs.reduce((sum, logprob, i) => sum + logprob * slopes[i]!, 0);
    return { loss, logprobs };
  }

  /** Clips, applies AdamW, clears the gradients. */
  step(options: StepOptions): StepResult {
    if (!this.#accumulated) {
      throw new TrainingError({
        code: "E_STEP_WITHOUT_GRADIENT",
        message: "A step was asked for, but no gradient has been accumulated since the last one.",
        hint: "call backward first; a batch without scored tokens adds nothing",
      });
    }
    if (this.#incomplete) {
      throw new TrainingError({
        code: "E_GRADIENT_INCOMPLETE",
        message:
          "A step was asked for after a backward pass that failed halfway: a part of its gradient is missing.",
        hint: "call clearGradients and run the batch again",
      });
    }
    const { learningRate, betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, maxGradientNorm } = options;
    const result = this.optimizer.step({
      ...{ learningRate, betas, epsilon, weightDecay },
      ...(maxGradientNorm === undefined ? {} : { maxGradientNorm }),
    });
    this.clearGradients();
    return { ...result, version: this.version };
  }

  /** Also to be called when weights were replaced: it drops retained activations. */
  clearGradients(): void {
    this.#release();
    this.gradients.flat.fill(0);
    this.#accumulated = false;
    this.#incomplete = false;
  }

  /** Frees what belongs to this policy alone: not the graphs, not the weights. */
  dispose(): void {
    this.#release();
    this.optimizer.dispose();
    this.gradients.dispose();
  }

  /** `gradients` per target, [N]; of values [N, K]. */
  #differentiate(microbatch: Microbatch, activations: BodyActivations, gradients: TokenGradients): void {
    this.#incomplete = true;
    const hidden = this.#hiddenGradient(activations.hidden);
    const { logprobs, entropies, values } = gradients;
    this.graphs.head.backward(
      this.#scoring.rows(microbatch, activations.hidden),
      { logprobs, ...(entropies && { entropies }) },
      { hidden, weight: this.#headGradient() },
    );
    if (values) valueBackward(this.trained, activations.hidden, values, this.gradients, hidden);
    this.#differentiateBody(activations, hidden);
  }

  #differentiateBody(activations: BodyActivations, hiddenGradient: Float32Array): void {
    this.graphs.body.backward(this.weights, this.adapter, activations, hiddenGradient, this.gradients);
    activations.dispose();
    this.#accumulated = true;
  }

  #hiddenGradient(hidden: OrtTensor): Float32Array {
    return new Float32Array(hidden.dimensions[0]! * hidden.dimensions[1]!);
  }

  #headGradient(): OrtTensor | null {
    return this.adapter ? null : this.gradients.tensor(headName(this.graphs.config));
  }

  #release(): void {
    for (const activations of this.#retained?.activations ?? []) activations.dispose();
    this.#retained = null;
    this.graphs.head.release();
  }
}
