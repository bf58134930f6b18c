/** @file What must hold of an array and its dimensions before the runtime may see its address. */

import type { TensorArray } from "./backend.ts";
import { tensorShape, tensorType } from "./errors.ts";

export const highestRank = 16;

/** The product of the dimensions, which must be the number of elements. */
export function elementCount(dimensions: readonly number[], length: number): number {
  if (dimensions.length > highestRank) {
    throw tensorShape(dimensions, length, `at most ${highestRank} dimensions are supported`);
  }
  let product = 1;
  for (const dimension of dimensions) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw tensorShape(dimensions, length, `${dimension} is no dimension`);
    }
    product *= dimension;
  }
  if (product !== length) throw tensorShape(dimensions, length, `the product is ${product}`);
  return product;
}

/** A buffer that can shrink would leave the runtime with an address behind its end. */
export function requireFixedLength(data: TensorArray): void {
  const buffer = data.buffer as ArrayBufferLike & { resizable?: boolean; growable?: boolean };
  if (buffer.resizable || buffer.growable) throw tensorType("a resizable buffer");
}
