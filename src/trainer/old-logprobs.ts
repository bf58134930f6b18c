/**
 * @file ℓ_old of a batch, and what the sampler's log-probs say about it. On-policy ℓ_old is what the sampler recorded.
 * With samples of older weights (`staleness`) it is what the weights say before the update (proximal), and the step from
 * the weights that sampled (behaviour) to those is a truncated importance weight on the token's policy loss,
 * w = min(e^{ℓ_prox − ℓ_behaviour}, cap). Source: Fu et al., "AReaL" (arXiv 2505.24298), §5.2, the decoupled objective;
 * truncation: Yao et al. (2025), "Your efficient RL framework secretly brings you off-policy RL training", cap 2.
 */

import type { Row } from "./batch-rows.ts";

/** Cap of the truncated importance weight. Yao et al. (2025); MARTI's scripts use the same. */
export const importanceCap = 2;

/**
 * |ℓ_training − ℓ_sampling| over the tokens that both have; an alarm for stale weights and template errors. Only of calls
 * that the present weights sampled: for others a difference is no fault.
 */
export class SamplerGap {
  #sum = 0;
  #largest = 0;
  #tokens = 0;

  add({ filtered, fresh, source: { call } }: Row, now: Float32Array): void {
    if (filtered || !fresh) return;
    for (let i = 0; i < now.length; i++) {
      const difference = Math.abs(now[i]! - call.logprobs[i]!);
      this.#sum += difference;
      if (difference > this.#largest) this.#largest = difference;
    }
    this.#tokens += now.length;
  }

  summary(): { readonly largestSamplerGap?: number; readonly meanSamplerGap?: number } {
    return this.#tokens === 0
      ? {}
      : { largestSamplerGap: this.#largest, meanSamplerGap: this.#sum / this.#tokens };
  }
}

/**
 * [scored] ℓ_old of a row. Where filters changed the sampling distribution the recorded log-probs belong to another
 * distribution; then the weights before the update stand in, or without a pass that made them known `now` itself: the
 * ratio is 1, which is exact for one update a batch.
 */
export function oldLogprobsOf(
  { filtered, given, proximal, source: { call } }: Row,
  now: Float32Array,
  stale: boolean,
): Float32Array {
  // What a given text is compared with does not depend on who trains when.
  if (given && !filtered) return call.logprobs;
  if (stale || filtered) return proximal ?? now;
  return call.logprobs;
}

/** [scored] truncated importance weights. Filtered rows have no behaviour to compare with, and weigh 1. */
export function importanceOf({ filtered, given, proximal, source: { call }, scored }: Row): Float32Array {
  const weights = new Float32Array(scored).fill(1);
  if (filtered || given || proximal === undefined) return weights;
  for (let i = 0; i < scored; i++)
    weights[i] = Math.min(Math.exp(proximal[i]! - call.logprobs[i]!), importanceCap);
  return weights;
}

/** [scored] ℓ of the weights that sampled; where they say nothing of the distribution that is trained, ℓ_old. */
export function samplerLogprobsOf(
  { filtered, given, source: { call } }: Pick<Row, "filtered" | "given" | "source">,
  old: Float32Array,
): Float32Array {
  return filtered || given ? old : call.logprobs;
}
