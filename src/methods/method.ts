/**
 * @file What a training method is: pure functions from a group of rewarded episodes to advantages, and from log-probs to
 * a loss and its gradient ∂L/∂ℓ. Methods know nothing of engines; whoever runs them owns forward and backward passes.
 *
 * Symbols: G episodes in a group, S scored tokens of a microbatch, N sequences and T tokens of the policy's whole batch.
 */

/** One model call of an episode, as credit sees it. */
export interface RewardedCall {
  readonly agent: string;
  /** The agent's how-manieth call in its scope: its turn. Default 0. */
  readonly occurrence?: number;
  /** Child workflow; "" or absent for the episode's own. */
  readonly scope?: string;
  /** Everything that this call is rewarded with. */
  readonly reward: number;
  /** The part of `reward` that only this call gets; the rest counts for other calls of the agent too. Default: all of it. */
  readonly own?: number;
  /** Sampled tokens; a call with 0 is in no batch. Default: some. */
  readonly length?: number;
}

export interface RewardedEpisode {
  /** Trajectory-level reward: the value of an episode without calls. */
  readonly reward: number;
  readonly calls: readonly RewardedCall[];
}

export interface GroupCredit {
  /** [G][calls] advantage of each call, for all its tokens. */
  readonly advantages: readonly Float64Array[];
  /** False if the rewards do not differ, so that nothing can be learned from the group. */
  readonly hasSignal: boolean;
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
  /** [length] v_old before each token, if the method asks for values. */
  readonly values?: Float32Array;
  /** [length] ℓ_old and ℓ_ref, if the method asks for the reference in its estimate. */
  readonly oldLogprobs?: Float32Array;
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
  /** [S] v now, v_old before the update, and the returns that v learns, if the method asks for values. */
  readonly values?: Float32Array;
  readonly oldValues?: Float32Array;
  readonly returns?: Float32Array;
  /** [S] truncated importance weight of samples of older weights; multiplies the policy loss. Default: all 1. */
  readonly importance?: Float32Array;
  /** [S] 1 = in the loss; default: all. A masked token has no gradient and is in no statistic. */
  readonly mask?: Uint8Array;
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

export interface Method {
  readonly name: string;
  /** Episodes per task. */
  readonly groupSize: number;
  /** For the run's record. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly needs: {
    /** ℓ_ref of the policies as they were at the start. */
    readonly reference: boolean;
    /** `estimate` sees ℓ_old and ℓ_ref too, for penalties in the reward. Default false. */
    readonly referenceInEstimate?: boolean;
    /** H, with its gradient. */
    readonly entropy: boolean;
    /** Tokens with A = 0 have a gradient too, so they may not be left out. */
    readonly tokensWithoutAdvantage: boolean;
    /** v of a value head, with its gradient. Default false. */
    readonly values?: boolean;
  };
  /** How often the batch is gone through, and in how many optimiser steps each time. Default: once, in one. */
  readonly updates?: { readonly epochs: number; readonly minibatches: number };
  /** What it has learned between steps, as JSON, for checkpoints; absent if nothing. */
  state?(): unknown;
  restore?(state: unknown): void;
  credit(group: readonly RewardedEpisode[]): GroupCredit;
  /**
   * Over the whole batch of one policy, before its update: per-token advantages (GAE, whitening). Default: each call's
   * credit for all its tokens. Pure.
   */
  estimate?(batch: readonly BatchCall[]): BatchEstimates;
  loss(input: LossInput): LossOutput;
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
