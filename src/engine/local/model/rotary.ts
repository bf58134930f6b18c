/** @file Cosines and sines of the rotary embedding, by position. One function, so that training and sampling turn alike. */

import type { RopeSettings } from "./config.ts";

export interface RotaryTable {
  /** Positions 0 … length − 1. */
  readonly length: number;
  /** [length, headSize / 2] each. */
  readonly cosines: Float32Array;
  readonly sines: Float32Array;
  /** −sines: the backward pass turns the other way. */
  readonly negatedSines: Float32Array;
}

/**
 * The angle is formed in float32, as the reference implementation of these models does (and as they were trained):
 * at position 10 000 an exact angle would differ from it by up to 6e-4 radians.
 */
export function rotaryTable(rope: RopeSettings, length: number): RotaryTable {
  const half = rope.inverseFrequencies.length;
  const cosines = new Float32Array(length * half);
  const sines = new Float32Array(length * half);
  for (let i = 0; i < half; i++) {
    const frequency = Math.fround(rope.inverseFrequencies[i]!);
    for (let position = 0; position < length; position++) {
      const angle = Math.fround(position * frequency);
      cosines[position * half + i] = Math.cos(angle) * rope.attentionFactor;
      sines[position * half + i] = Math.sin(angle) * rope.attentionFactor;
    }
  }
  return { length, cosines, sines, negatedSines: sines.map((s) => -s) };
}
