/** @file Norm of a flat gradient in float64, and which tensor is at fault where it is not finite. */

import type { ParameterTable } from "./parameters.ts";

/** Σ x², in four running sums so that the additions do not wait for each other. No float32 square can overflow it. */
export function squaredNorm(flat: Float32Array, from: number, to: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = from;
  for (; i + 4 <= to; i += 4) {
    a += flat[i]! * flat[i]!;
    b += flat[i + 1]! * flat[i + 1]!;
    c += flat[i + 2]! * flat[i + 2]!;
    d += flat[i + 3]! * flat[i + 3]!;
  }
  for (; i < to; i++) a += flat[i]! * flat[i]!;
  return a + b + (c + d);
}

/** The first parameter with a gradient that is NaN or infinite. */
export function nonFiniteParameter(
  table: ParameterTable,
  flat: Float32Array,
): { readonly name: string; readonly index: number; readonly value: number } | null {
  for (const { name, offset, length } of table.parameters) {
    for (let index = 0; index < length; index++) {
      const value = flat[offset + index]!;
      if (!Number.isFinite(value)) return { name, index, value };
    }
  }
  return null;
}
