/** @file The formulas of a few kernels in plain TypeScript: slow, obvious, and independent of any library. */

/** Different numbers in [-1, 1) that repeat from start to start: multiples of the golden ratio, modulo 1. */
export function sequenceOf(length: number, seed: number): Float32Array {
  return Float32Array.from(
    { length },
    (_, i) => 2 * (((i + 1) * 0.6180339887498949 + seed * 0.4142135623) % 1) - 1,
  );
}

/** a [rows, inner] · b [inner, columns]. */
export function product(
  a: Float32Array,
  b: Float32Array,
  rows: number,
  inner: number,
  columns: number,
): Float32Array {
  const y = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += a[row * inner + i]! * b[i * columns + column]!;
      y[row * columns + column] = sum;
    }
  }
  return y;
}

/** a [rows, columns] → [columns, rows]. */
export function transpose(a: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(a, (_, i) => a[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** silu(z) = z·σ(z). */
export const silu = (z: number): number => z / (1 + Math.exp(-z));

/** Softmax over rows of `width`. */
export function softmax(x: Float32Array, width: number): Float32Array {
  const y = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const highest = Math.max(...row);
    const powers = Array.from(row, (value) => Math.exp(value - highest));
    const sum = powers.reduce((total, power) => total + power, 0);
    y.set(
      powers.map((power) => power / sum),
      start,
    );
  }
  return y;
}

/** y = x·w·s with s = 1/√(mean(x²) + ε), row by row; both are returned, as the backward pass needs s. */
export function rootMeanSquareNorm(
  x: Float32Array,
  weight: Float32Array,
  epsilon: number,
): { y: Float32Array; inverse: Float32Array } {
  const width = weight.length;
  const inverse = Float32Array.from({ length: x.length / width }, (_, row) => {
    const squares = x.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value * value, 0);
    return 1 / Math.sqrt(squares / width + epsilon);
  });
  const y = x.map((value, i) => value * weight[i % width]! * inverse[Math.floor(i / width)]!);
  return { y, inverse };
}

/** Rotary embedding of x [rows, heads, tokens, width], first half against second half; tables [·, width / 2]. */
export function rotateHalves(
  x: Float32Array,
  positions: BigInt64Array,
  cos: Float32Array,
  sin: Float32Array,
  [, heads, tokens, width]: readonly [number, number, number, number],
): Float32Array {
  const half = width / 2;
  return x.map((value, i) => {
    const token = Math.floor(i / width) % tokens;
    const row = Math.floor(i / (width * tokens * heads));
    const at = Number(positions[row * tokens + token]!) * half + (i % half);
    const first = i % width < half;
    const partner = first ? -x[i + half]! : x[i - half]!;
    return value * cos[at]! + partner * sin[at]!;
  });
}

export interface AttentionStep {
  /** [rows, heads · width], one token a row. */
  readonly q: Float32Array;
  /** [rows, groups · width] */
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** [rows, groups, capacity, width] */
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** Index of the new token in each row. */
  readonly last: Int32Array;
  readonly heads: number;
  readonly groups: number;
  readonly capacity: number;
}

/** One step of grouped-query attention: stores the new key and value, then attends to everything up to `last`. */
export function groupQueryAttention(step: AttentionStep): {
  y: Float32Array;
  keys: Float32Array;
  values: Float32Array;
} {
  const { q, k, v, last, heads, groups, capacity } = step;
  const [keys, values] = [step.keys.slice(), step.values.slice()];
  const rows = last.length;
  const width = q.length / (rows * heads);
  const y = new Float32Array(q.length);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const given = (row * groups + group) * width;
      const start = (row * groups + group) * capacity * width;
      keys.set(k.subarray(given, given + width), start + last[row]! * width);
      values.set(v.subarray(given, given + width), start + last[row]! * width);
    }
    for (let head = 0; head < heads; head++) {
      const start = (row * groups + Math.floor((head * groups) / heads)) * capacity * width;
      const query = q.subarray((row * heads + head) * width, (row * heads + head + 1) * width);
      const length = last[row]! + 1;
      const scores = Float32Array.from({ length }, (_, token) => {
        const key = keys.subarray(start + token * width);
        return query.reduce((sum, value, i) => sum + value * key[i]!, 0) / Math.sqrt(width);
      });
      softmax(scores, length).forEach((weight, token) => {
        for (let i = 0; i < width; i++) {
          y[(row * heads + head) * width + i]! += weight * values[start + token * width + i]!;
        }
      });
    }
  }
  return { y, keys, values };
}
