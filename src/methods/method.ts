/**
 * @file What a training method is: pure functions from a group of rewarded episodes to advantages, and from log-probs to
 * a loss and its gradient ∂L/∂ℓ. Methods know nothing of engines; whoever runs them owns forward and backward passes.
 *
 * Symbols: G episodes in a group, S scored tokens of a microbatch, N sequences and T tokens of the policy's whole batch.
 */

import type { GroupSampler } from "./group-sampler.ts";
import type { RewardedEpisode, RewardedGroup } from "./rewarded-group.ts";

export type { GroupSampler, RememberedEpisode, SamplingRequest, SamplingView } from "./group-sampler.ts";
export type { RewardedCall, RewardedEpisode, RewardedGroup } from "./rewarded-group.ts";

export interface GroupCredit {
  /** [G][calls] advantage of each call, for all its tokens. */
  readonly advantages: readonly Float64Array[];
  /** False if the rewards do not differ, so that nothing can be learned from the group. */
  readonly hasSignal: boolean;
  /** [G][calls] 0 = not in the batch at all, normalisers included. Default: all calls are in it. */
  readonly trained?: readonly Uint8Array[];
  /**
   * [G][calls] calls with the same text are seen together: they are in one minibatch and one microbatch, and the loss
   * knows of it (`LossInput.links`). undefined: alone. Default: all alone.
   */
  readonly links?: readonly (readonly (string | undefined)[])[];
  /** Texts that are trained on besides what was sampled. Default: none. */
  readonly given?: readonly GivenText[];
}

/**
 * A text in the place of a call's output, scored and learned by a policy that did not sample it there: another policy's
 * answer (HACPO), or an answer that was not chosen (contrastive losses). It is encoded by the learner's own tokenizer,
 * without an end token; one that does not decode to the same text, has no token, or does not fit the learner's context or
 * the agent's `maxTokens` is left out, and counted.
 */
export interface GivenText {
  /** Places in the group and among the calls of its episode: whose prompt it follows. */
  readonly episode: number;
  readonly call: number;
  /** The policy that learns from it. It must be trainable. */
  readonly policy: string;
  /** Default: what the call said. */
  readonly text?: string;
  readonly advantage: number;
  /** As in `GroupCredit.links`. */
  readonly link?: string;
  /**
   * ℓ_old of each of its tokens. A source's mean log-prob makes the mean log-ratio that of HACPO, whatever the
   * tokenizers. Default: what the learner says before the update.
   */
  readonly oldLogprob?: number;
}

/** One call of a policy's batch, with what the group stage made of it. */
export interface BatchCall {
  readonly episode: string;
  readonly agent: string;
  readonly occurrence: number;
  readonly scope: string;
  /** Calls of one episode in the order in which they were issued. */
  readonly order: number;
  /** Sampled tokens. */
  readonly length: number;
  /** From `credit`: an advantage, or for methods that estimate it themselves the call's reward. */
  readonly credit: number;
  /** Of its group. Default: unknown. */
  readonly task?: string;
  readonly dataset?: string;
  /** The call's reward by the names of its terms. Default: unknown. */
  readonly terms?: Readonly<Record<string, number>>;
  /** A text that was given, and not sampled (`GroupCredit.given`). Default false. */
  readonly given?: boolean;
  /** The policy whose batch it is. Default: unknown. */
  readonly policy?: string;
  /** [length] v_old before each token, if the method asks for values; [length × heads] with several heads. */
  readonly values?: Float32Array;
  /** [length] H of the weights before the update, if the method asks for it in its estimate. */
  readonly entropies?: Float32Array;
  /**
   * [length] ℓ_old; unknown where filters changed the sampling distribution, unless the method asks for something that
   * takes a pass before the update.
   */
  readonly oldLogprobs?: Float32Array;
  /** [length] ℓ_ref, if the method asks for the reference in its estimate. */
  readonly referenceLogprobs?: Float32Array;
}

/** [calls] per-token estimates, in the order of the batch. */
export interface BatchEstimates {
  /** [calls][length] A */
  readonly advantages: readonly Float32Array[];
  /** [calls][length] what the value head learns to predict. */
  readonly returns?: readonly Float32Array[];
}

/** Sizes of the whole batch of one policy: normalisers must not depend on how it is cut into microbatches. */
export interface BatchTotals {
  /** N */
  readonly sequences: number;
  /** T */
  readonly tokens: number;
}

/** One microbatch, flat over its scored tokens, sequence by sequence. */
export interface LossInput {
  /** [sequences of this microbatch] scored tokens of each; they sum to S. */
  readonly lengths: readonly number[];
  /** [S] ℓ, log-probs now. */
  readonly logprobs: Float32Array;
  /** [S] ℓ_old, log-probs when sampled. */
  readonly oldLogprobs: Float32Array;
  /** [S] ℓ_ref, if the method asks for a reference. */
  readonly referenceLogprobs?: Float32Array;
  /** [S] H, if the method asks for it. */
  readonly entropies?: Float32Array;
  /** [S] A, detached. */
  readonly advantages: Float32Array;
  /**
   * [S] v now, v_old before the update, and the returns that v learns, if the method asks for values; [S × heads], heads
   * of one token side by side, with several.
   */
  readonly values?: Float32Array;
  readonly oldValues?: Float32Array;
  readonly returns?: Float32Array;
  /** [S] truncated importance weight of samples of older weights; multiplies the policy loss. Default: all 1. */
  readonly importance?: Float32Array;
  /** [S] log-probs under the weights that sampled, with `importance` alone. Default: ℓ_old. */
  readonly samplerLogprobs?: Float32Array;
  /** [S] 1 = in the loss; default: all. A masked token has no gradient and is in no statistic. */
  readonly mask?: Uint8Array;
  /** [sequences] equal numbers: seen together (`GroupCredit.links`); −1: alone. Default: all alone. */
  readonly links?: readonly number[];
  /** [sequences] 1 = a text that was given, and not sampled (`GroupCredit.given`). Default: none is. */
  readonly given?: Uint8Array;
  /** Optimiser steps that this policy has taken in this update already. Default 0. */
  readonly updatesDone?: number;
  /** What `prepare` made of the whole batch, and [sequences] the place of each sequence in that batch. */
  readonly prepared?: unknown;
  readonly places?: readonly number[];
  /** The policy that is trained, and the step, from 1. */
  readonly policy?: string;
  readonly step?: number;
  readonly totals: BatchTotals;
}

export interface LossOutput {
  /** This microbatch's share of the batch's loss: shares add up. */
  readonly loss: number;
  readonly gradients: {
    /** [S] ∂L/∂ℓ */
    readonly logprobs: Float32Array;
    /** [S] ∂L/∂H */
    readonly entropies?: Float32Array;
    /** [S] ∂L/∂v */
    readonly values?: Float32Array;
  };
  /** Sums over the tokens counted in `tokens`; shares add up, and a mean is sum ÷ tokens. */
  readonly statistics: LossStatistics;
}

export interface LossStatistics {
  readonly tokens: number;
  readonly sums: Readonly<Record<string, number>>;
  readonly maxima: Readonly<Record<string, number>>;
}

/** What a method asks of a run, besides ℓ and A. */
export interface MethodNeeds {
  /** ℓ_ref of the policies as they were at the start. */
  readonly reference: boolean;
  /** `estimate` sees ℓ_old and ℓ_ref too, for penalties in the reward. Default false. */
  readonly referenceInEstimate?: boolean;
  /** H, with its gradient. */
  readonly entropy: boolean;
  /** `estimate` sees H of the weights before the update, without gradient. Default false. */
  readonly entropyInEstimate?: boolean;
  /** Tokens with A = 0 have a gradient too, so they may not be left out. */
  readonly tokensWithoutAdvantage: boolean;
  /** A group is a search tree: the run must have `search`. Default false. */
  readonly trees?: boolean;
  /** v of a value head, with its gradient; a number: of so many heads. Default false. */
  readonly values?: boolean | number;
}

/** What a method hears once a step, after every policy was updated. */
export interface StepFacts {
  /** From 1. */
  readonly step: number;
  /** Of the whole run. */
  readonly steps: number;
  /** The groups that were trained on. */
  readonly groups: readonly RewardedGroup[];
  /** Means per token, and maxima, of each policy that was updated: what `loss` gave as statistics. */
  readonly statistics: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** How often a policy's batch is gone through, and in how many optimiser steps each time. */
export interface UpdatePlan {
  readonly epochs: number;
  readonly minibatches: number;
}

export interface Method {
  readonly name: string;
  /** Episodes per task; with a sampler, those of its first wave. */
  readonly groupSize: number;
  /** For the run's record. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly needs: MethodNeeds;
  /** How often the batch is gone through, and in how many optimiser steps each time. Default: once, in one. */
  readonly updates?: UpdatePlan;
  /** The same where policies differ in it. Default: `updates`, for all. */
  updatesOf?(policy: string): UpdatePlan;
  /** What it needs of one policy, where policies differ in it; `needs` is then the sum. Default: `needs`, of all. */
  needsOf?(policy: string): MethodNeeds;
  /** What is sampled after the first wave. Default: nothing. */
  readonly sampler?: GroupSampler;
  /** What it has learned between steps, as JSON, for checkpoints; absent if nothing. */
  state?(): unknown;
  restore?(state: unknown): void;
  /** Pure: what is learned from a step is learned in `observe`. */
  credit(group: readonly RewardedEpisode[]): GroupCredit;
  /** Over all groups of a step, instead of `credit`: for methods that compare tasks, or remember them. Pure. */
  creditAll?(groups: readonly RewardedGroup[]): readonly GroupCredit[];
  /**
   * Over the whole batch of one policy, before its update: per-token advantages (GAE, whitening). Default: each call's
   * credit for all its tokens. Pure.
   */
  estimate?(batch: readonly BatchCall[]): BatchEstimates;
  /** Over the whole batch of one policy, before its update: whatever `loss` must know of all of it. Pure. */
  prepare?(batch: readonly BatchCall[]): unknown;
  loss(input: LossInput): LossOutput;
  /**
   * [tasks] what each of the run's tasks is worth being sampled in the next step, finite and at least 0; different ones are
   * drawn in proportion. Named as in `RewardedGroup.task`. Default: each once an epoch. Pure.
   */
  taskWeights?(tasks: readonly string[]): ArrayLike<number>;
  /** Once a step, after the updates: the place to learn from it. */
  observe?(facts: StepFacts): void;
  /** Of what it has learned: finite numbers for the step's metrics, by name. Asked once a step, after `observe`. */
  metrics?(): Readonly<Record<string, number>>;
}

export function addStatistics(left: LossStatistics, right: LossStatistics): LossStatistics {
  const sums: Record<string, number> = { ...left.sums };
  for (const [name, value] of Object.entries(right.sums)) sums[name] = (sums[name] ?? 0) + value;
  const maxima: Record<string, number> = { ...left.maxima };
  for (const [name, value] of Object.entries(right.maxima)) {
    maxima[name] = Math.max(maxima[name] ?? Number.NEGATIVE_INFINITY, value);
  }
  return { tokens: left.tokens + right.tokens, sums, maxima };
}

export const noStatistics: LossStatistics = { tokens: 0, sums: {}, maxima: {} };
