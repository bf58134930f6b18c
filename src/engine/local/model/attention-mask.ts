/** @file Which token sees which, as numbers added to attention scores. */

import type { PackedRows } from "./packed.ts";

/** Finite, so that no difference of two masked scores is NaN; its exponential is 0 beside any real score. */
export const maskedScore = -1e30;

/** [R, 1, T, T]: 0 where token i attends to token j (j ≤ i < end[j]), `maskedScore` elsewhere. */
export function attentionMask({ rows, width, end }: PackedRows): Float32Array {
  const mask = new Float32Array(rows * width * width).fill(maskedScore);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < width; j++) {
      const until = end[row * width + j]!;
      const base = row * width * width + j;
      for (let i = j; i < until; i++) mask[base + i * width] = 0;
    }
  }
  return mask;
}
