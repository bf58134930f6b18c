/** @file Whether a batch is the one that an earlier forward pass saw. */

import type { TrainingSequence } from "../../policy.ts";

/** The same tokens in the same order; the objects may be copies, as when they come from another thread. */
export function sameBatch(a: readonly TrainingSequence[], b: readonly TrainingSequence[]): boolean {
  if (a === b) return true;
  const same = (x: Int32Array | Uint8Array, y: Int32Array | Uint8Array) =>
    x.length === y.length && x.every((value, i) => value === y[i]);
  return (
    a.length === b.length &&
    a.every(
      (x, i) =>
        same(x.tokens, b[i]!.tokens) &&
        same(x.mask, b[i]!.mask) &&
        (x.temperature ?? 1) === (b[i]!.temperature ?? 1),
    )
  );
}
