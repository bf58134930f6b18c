/**
 * @file The loop that losses over single tokens have in common: weights of the aggregation, masks, importance weights of
 * stale samples, and the statistics that every loss reports.
 *
 *   L = Σ_t w_t · u_t · f(ℓ_t, ρ_t, A_t),   ∂L/∂ℓ_t = w_t · u_t · f'(…),   ρ_t = e^{ℓ_t − ℓ_old,t},  u_t importance
 */

import { type Aggregation, tokenWeight } from "../aggregation.ts";
import { LossError } from "../errors.ts";
import type { LossInput, LossOutput } from "../method.ts";

export interface Token {
  /** Its place in the microbatch. */
  readonly at: number;
  readonly logprob: number;
  /** ρ */
  readonly ratio: number;
  readonly advantage: number;
}

export interface TokenTerm {
  readonly loss: number;
  /** ∂/∂ℓ */
  readonly slope: number;
  /** Counted in `clipFraction`. */
  readonly clipped?: boolean;
}

/** @throws LossError E_LOSS_SHAPE, E_LOSS_NOT_FINITE */
export function tokenLoss(
  input: LossInput,
  aggregation: Aggregation,
  term: (token: Token) => TokenTerm,
): LossOutput {
  checkLossShapes(input);
  const { lengths, logprobs, oldLogprobs, advantages, mask, importance, totals } = input;
  const g = new Float32Array(logprobs.length);
  const sums = new TokenSums();
  let loss = 0;
  let at = 0;
  for (const length of lengths) {
    const end = at + length;
    const scored = scoredTokens(mask, at, end);
    const w = scored === 0 ? 0 : tokenWeight(aggregation, scored, totals);
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      const logprob = logprobs[at]!;
      const ratio = Math.exp(logprob - oldLogprobs[at]!);
      const one = term({ at, logprob, ratio, advantage: advantages[at]! });
      const weight = w * (importance === undefined ? 1 : importance[at]!);
      loss += weight * one.loss;
      g[at] = weight * one.slope;
      sums.add(logprob, oldLogprobs[at]!, one.clipped === true);
    }
  }
  return sums.output(loss, g, lengths.length);
}

/** Tokens of [from, to) that are in the loss. */
export function scoredTokens(mask: Uint8Array | undefined, from: number, to: number): number {
  if (mask === undefined) return to - from;
  let scored = 0;
  for (let t = from; t < to; t++) scored += mask[t]!;
  return scored;
}

/** What every loss reports of its tokens. */
export class TokenSums {
  #tokens = 0;
  #ratio = 0;
  #largest = 0;
  #clipped = 0;
  #kl = 0;
  #surprise = 0;

  /** `ratio`: of the sequence, where tokens share one. Default: the token's own. */
  add(logprob: number, oldLogprob: number, clipped: boolean, ratio?: number): void {
    const difference = logprob - oldLogprob;
    const own = ratio ?? Math.exp(difference);
    this.#tokens++;
    this.#ratio += own;
    this.#largest = Math.max(this.#largest, own);
    if (clipped) this.#clipped++;
    // k3 of the policy that sampled against the policy now; 0 while strictly on-policy.
    this.#kl += Math.exp(-difference) + difference - 1;
    this.#surprise -= logprob;
  }

  output(loss: number, logprobs: Float32Array, sequences: number): LossOutput {
    if (!Number.isFinite(loss)) {
      throw new LossError({
        code: "E_LOSS_NOT_FINITE",
        message: `The loss of a microbatch of ${sequences} sequences (${this.#tokens} tokens) is ${loss}; largest ratio ${this.#largest}.`,
        hint: "lower the learning rate; if it is the first step, check the model's weights with `troupe doctor`.",
      });
    }
    return {
      loss,
      gradients: { logprobs },
      statistics: {
        tokens: this.#tokens,
        sums: {
          ratio: this.#ratio,
          clipFraction: this.#clipped,
          kl: this.#kl,
          entropy: this.#surprise,
        },
        maxima: { largestRatio: this.#largest },
      },
    };
  }
}

/** @throws LossError E_LOSS_SHAPE */
export function checkLossShapes(input: LossInput, needed: readonly (keyof LossInput)[] = []): void {
  const size = input.logprobs.length;
  const lengths = input.lengths.reduce((sum, length) => sum + length, 0);
  const found: [string, number | undefined][] = [["lengths", lengths]];
  for (const name of [
    "oldLogprobs",
    "advantages",
    "mask",
    "importance",
    "referenceLogprobs",
    "entropies",
  ] as const) {
    const array = input[name];
    if (array !== undefined || needed.includes(name)) found.push([name, array?.length]);
  }
  for (const [name, length] of found) {
    if (length === size) continue;
    throw new LossError({
      code: "E_LOSS_SHAPE",
      message: `The microbatch has ${size} log-probs, but ${name} ${length === undefined ? "is missing" : `has ${length}`}.`,
      hint: "every scored token needs one entry in each array; nothing is padded with zeros.",
    });
  }
}
