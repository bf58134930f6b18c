/**
 * @file Arrays over scored tokens: between those that are flat over a batch [S], those of one microbatch in order
 * of its sequences, and those of its targets [N]. A target that several sequences share is read by each of them, and
 * their gradients add up in it.
 */

import type { TokenGradients } from "../../policy.ts";
import { TrainingError } from "./errors.ts";
import type { Microbatch } from "./pack.ts";

/** [N] of targets → places of `out`, flat over the batch. */
export function scatterToBatch(
  { packed, places }: Microbatch,
  values: Float32Array,
  out: Float32Array,
): void {
  for (let i = 0; i < places.length; i++) out[places[i]!] = values[packed.scored[i]!]!;
}

/** [N] of targets → one element per scored token of the microbatch. */
export function spread({ packed }: Microbatch, values: Float32Array): Float32Array {
  return Float32Array.from(packed.scored, (n) => values[n]!);
}

/** Flat over the batch → [N] of targets, added up. */
export function gatherFromBatch({ packed, places }: Microbatch, values: Float32Array): Float32Array {
  const out = new Float32Array(packed.targets.length);
  for (let i = 0; i < places.length; i++) out[packed.scored[i]!]! += values[places[i]!]!;
  return out;
}

/** One element per scored token of the microbatch → [N] of targets, added up. */
export function collect({ packed }: Microbatch, values: Float32Array): Float32Array {
  const out = new Float32Array(packed.targets.length);
  for (let i = 0; i < values.length; i++) out[packed.scored[i]!]! += values[i]!;
  return out;
}

/** Wrong lengths and non-finite numbers are refused before anything is added to a gradient. */
export function checkTokenGradients(gradients: TokenGradients, count: number): void {
  for (const [name, values] of Object.entries(gradients) as [string, Float32Array | undefined][]) {
    if (values === undefined) continue;
    if (values.length !== count) {
      throw new TrainingError({
        code: "E_TOKEN_GRADIENTS",
        message: `The gradient of ${name} has ${values.length} elements for ${count} scored tokens.`,
        hint: "give one number per token whose mask is 1, sequence by sequence",
      });
    }
    const stray = values.findIndex((value) => !Number.isFinite(value));
    if (stray >= 0) {
      throw new TrainingError({
        code: "E_TOKEN_GRADIENTS",
        message: `The gradient of ${name} is ${values[stray]} at scored token ${stray} of ${count}.`,
        hint: "look for a reward or an advantage that is not finite",
        facts: { array: name, index: stray, value: values[stray] },
      });
    }
  }
}

/** Whether any of the gradients in a range of scored tokens is not zero (NaN is not). */
export function anyNonZero(gradients: TokenGradients, from: number, to: number): boolean {
  return [gradients.logprobs, gradients.entropies, gradients.values].some((values) =>
    values?.subarray(from, to).some((value) => value !== 0),
  );
}
