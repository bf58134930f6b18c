/**
 * @file The loss of several value heads: Σ_t w_t Σ_k c_k (v_k − R_k)², with its gradient ∂L/∂v. Without a clip, and without
 * a half before the square.
 */

import { type Aggregation, tokenWeight } from "./aggregation.ts";
import { LossError } from "./errors.ts";
import type { LossInput } from "./method.ts";

export interface ValueHeadsLoss {
  readonly loss: number;
  /** [S, K] ∂L/∂v */
  readonly gradients: Float32Array;
  /** [K] Σ (v_k − R_k)² over the tokens that count. */
  readonly errors: readonly number[];
}

/**
 * `coefficients`: [K] c.
 * @throws LossError E_LOSS_SHAPE unless there are K values and K returns a token.
 */
export function valueHeadsLoss(
  input: LossInput,
  coefficients: readonly number[],
  aggregation: Aggregation,
): ValueHeadsLoss {
  const { lengths, logprobs, mask, totals } = input;
  const heads = coefficients.length;
  const size = logprobs.length * heads;
  const values = ofSize("values", input.values, size, heads);
  const returns = ofSize("returns", input.returns, size, heads);
  const gradients = new Float32Array(size);
  const errors = new Array<number>(heads).fill(0);
  let loss = 0;
  let at = 0;
  for (const length of lengths) {
    const end = at + length;
    const scored = mask === undefined ? length : mask.subarray(at, end).reduce((sum, bit) => sum + bit, 0);
    const w = scored === 0 ? 0 : tokenWeight(aggregation, scored, totals);
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      for (let k = 0; k < heads; k++) {
        const difference = values[at * heads + k]! - returns[at * heads + k]!;
        gradients[at * heads + k] = 2 * coefficients[k]! * w * difference;
        loss += w * coefficients[k]! * difference * difference;
        errors[k]! += difference * difference;
      }
    }
  }
  return { loss, gradients, errors };
}

function ofSize(name: string, found: Float32Array | undefined, size: number, heads: number): Float32Array {
  if (found?.length === size) return found;
  throw new LossError({
    code: "E_LOSS_SHAPE",
    message: `The microbatch has ${size / heads} log-probs and ${heads} value heads, but ${name} ${found === undefined ? "is missing" : `has ${found.length}`}.`,
    hint: "every scored token needs one entry a head, those of a token side by side.",
  });
}
