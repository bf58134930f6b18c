/**
 * @file float32 ↔ the 16-bit formats of checkpoints, by bits: IEEE half precision (F16) and bfloat16 (BF16, the
 * upper half of a float32). Rounding is to nearest, ties to even, as PyTorch rounds.
 */

/** Formats that weights are read from and written to. */
export type WeightFormat = "F32" | "F16" | "BF16";

/** `source` has `target.length` 16-bit values. */
export function widen(format: "F16" | "BF16", source: Uint16Array, target: Float32Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  if (format === "BF16") {
    for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
    return;
  }
  const table = halfTable();
  for (let i = 0; i < source.length; i++) bits[i] = table[source[i]!]!;
}

/** Values beyond the largest of the format become infinity, as the rounding rule says; callers check. */
export function narrow(format: "F16" | "BF16", source: Float32Array, target: Uint16Array): void {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  if (format === "BF16") {
    for (let i = 0; i < bits.length; i++) {
      const word = bits[i]!;
      target[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
    }
    return;
  }
  for (let i = 0; i < bits.length; i++) target[i] = halfBits(bits[i]!);
}

/** Largest finite magnitude that does not round to infinity. */
export const largest: Readonly<Record<WeightFormat, number>> = {
  F32: 3.4028234663852886e38,
  F16: 65519.99609375,
  BF16: 3.396177326406364e38,
};

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x47800000) {
    // At least 2^16, infinity or NaN.
    return magnitude > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00;
  }
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent (127 → 15), round 13 bits away. A carry into the exponent is right.
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign;
  // Subnormal: units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const half = 1 << (shift - 1);
  return sign | ((mantissa + half - 1 + ((mantissa >>> shift) & 1)) >>> shift);
}

let halves: Uint32Array | undefined;

/** float32 bits of each of the 65,536 halves. */
function halfTable(): Uint32Array {
  if (halves) return halves;
  halves = new Uint32Array(65_536);
  for (let half = 0; half < 65_536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      // Zero or subnormal: mantissa · 2^-24, exact in float32.
      const value = new Float32Array([mantissa * 2 ** -24]);
      halves[half] = sign | new Uint32Array(value.buffer)[0]!;
    } else if (exponent === 31) {
      halves[half] = sign | 0x7f800000 | (mantissa << 13);
    } else {
      halves[half] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    }
  }
  return halves;
}
