/**
 * @file Arrays over scored tokens: between those that are flat over a batch [S], those of one microbatch in order
 * of its sequences, and those of its targets [N]. A target that several sequences share is read by each of them, and
 * their gradients add up in it. `width`: numbers a token, side by side; values of K heads are [S, K] and [N, K].
 */

import type { TokenGradients } from "../../policy.ts";
import { TrainingError } from "./errors.ts";
import type { Microbatch } from "./pack.ts";

/** [N] of targets → places of `out`, flat over the batch. */
export function scatterToBatch(
  { packed, places }: Microbatch,
  values: Float32Array,
  out: Float32Array,
  width = 1,
): void {
  for (let i = 0; i < places.length; i++) {
    const [to, from] = [places[i]! * width, packed.scored[i]! * width];
    for (let k = 0; k < width; k++) out[to + k] = values[from + k]!;
  }
}

/** [N] of targets → the scored tokens of the microbatch. */
export function spread({ packed }: Microbatch, values: Float32Array, width = 1): Float32Array {
  const { scored } = packed;
  const out = new Float32Array(scored.length * width);
  for (let i = 0; i < scored.length; i++) {
    for (let k = 0; k < width; k++) out[i * width + k] = values[scored[i]! * width + k]!;
  }
  return out;
}

/** Flat over the batch → [N] of targets, added up. */
export function gatherFromBatch(
  { packed, places }: Microbatch,
  values: Float32Array,
  width = 1,
): Float32Array {
  const out = new Float32Array(packed.targets.length * width);
  for (let i = 0; i < places.length; i++) {
    const [to, from] = [packed.scored[i]! * width, places[i]! * width];
    for (let k = 0; k < width; k++) out[to + k]! += values[from + k]!;
  }
  return out;
}

/** The scored tokens of the microbatch → [N] of targets, added up. */
export function collect({ packed }: Microbatch, values: Float32Array, width = 1): Float32Array {
  const { scored } = packed;
  const out = new Float32Array(packed.targets.length * width);
  for (let i = 0; i < scored.length; i++) {
    for (let k = 0; k < width; k++) out[scored[i]! * width + k]! += values[i * width + k]!;
  }
  return out;
}

/** Wrong lengths and non-finite numbers are refused before anything is added to a gradient. `heads`: of the policy. */
export function checkTokenGradients(gradients: TokenGradients, count: number, heads: number): void {
  for (const [name, values] of Object.entries(gradients) as [string, Float32Array | undefined][]) {
    if (values === undefined) continue;
    const width = name === "values" ? heads : 1;
    if (values.length !== count * width) {
      const several = width === 1 ? "" : ` and ${width} value heads`;
      throw new TrainingError({
        code: "E_TOKEN_GRADIENTS",
        message: `The gradient of ${name} has ${values.length} elements for ${count} scored tokens${several}.`,
        hint: `give one number per token whose mask is 1${several === "" ? "" : " and per head, those of a token side by side"}, sequence by sequence`,
      });
    }
    const stray = values.findIndex((value) => !Number.isFinite(value));
    if (stray >= 0) {
      const token = Math.floor(stray / width);
      throw new TrainingError({
        code: "E_TOKEN_GRADIENTS",
        message: `The gradient of ${name} is ${values[stray]} at scored token ${token} of ${count}${width === 1 ? "" : `, value head ${stray % width}`}.`,
        hint: "look for a reward or an advantage that is not finite",
        facts: { array: name, index: stray, value: values[stray] },
      });
    }
  }
}

/** Whether any of the gradients in a range of scored tokens is not zero (NaN is not). */
export function anyNonZero(gradients: TokenGradients, from: number, to: number, heads: number): boolean {
  const { logprobs, entropies, values } = gradients;
  const differs = (value: number) => value !== 0;
  return (
    logprobs.subarray(from, to).some(differs) ||
    entropies?.subarray(from, to).some(differs) === true ||
    values?.subarray(from * heads, to * heads).some(differs) === true
  );
}
