/**
 * @file Keys and values of all rows: per layer one array [rows, KV, capacity, width] for keys and one for values.
 * A row is one sequence's slot and contiguous, so a run may see any range of rows as a view, and attention writes
 * in place. Memory is asked for at once and touched only as far as sequences reach.
 */

import type { DecoderConfig } from "../model/config.ts";
import { cacheHeadSize } from "../model/decode-graph.ts";
import type { OrtBackend, OrtTensor } from "../ort/backend.ts";
import { CacheMemoryError } from "./errors.ts";

/** Bytes of keys and values of `rows` sequences of up to `capacity` tokens. */
export function cacheBytes(config: DecoderConfig, rows: number, capacity: number): number {
  return 2 * config.layers * rows * config.keyValueHeads * capacity * cacheHeadSize(config) * 4;
}

export class KeyValueCache {
  readonly rows: number;
  readonly #backend: OrtBackend;
  readonly #config: DecoderConfig;
  readonly #width: number;
  readonly #longest: number;
  #capacity = 0;
  /** Keys and values of layer 0, of layer 1, … */
  #arrays: Float32Array[] = [];

  /** `longest` bounds the growth of the capacity. */
  constructor(backend: OrtBackend, config: DecoderConfig, rows: number, longest: number) {
    this.#backend = backend;
    this.#config = config;
    this.#width = cacheHeadSize(config);
    this.rows = rows;
    this.#longest = longest;
  }

  /** Tokens that a row can hold now. */
  get capacity(): number {
    return this.#capacity;
  }

  get bytes(): number {
    return this.#arrays.reduce((sum, array) => sum + array.byteLength, 0);
  }

  /** Elements of one head of one row. */
  get #headStride(): number {
    return this.#capacity * this.#width;
  }

  get #rowStride(): number {
    return this.#config.keyValueHeads * this.#headStride;
  }

  /**
   * Makes room for `needed` tokens a row, by doubling. `lengths[row]` tokens of each row are kept. Returns true if
   * the arrays moved: tensors from {@link tensors} must then be made anew.
   */
  reserve(needed: number, lengths: ArrayLike<number>): boolean {
    if (needed <= this.#capacity) return false;
    let capacity = Math.max(this.#capacity, 64);
    while (capacity < needed) capacity *= 2;
    capacity = Math.max(needed, Math.min(capacity, this.#longest));
    const { keyValueHeads, layers } = this.#config;
    const oldHead = this.#headStride;
    const newHead = capacity * this.#width;
    for (let index = 0; index < 2 * layers; index++) {
      const grown = this.#allocate(this.rows * keyValueHeads * newHead, capacity);
      const old = this.#arrays[index];
      if (old) {
        for (let row = 0; row < this.rows; row++) {
          const kept = (lengths[row] ?? 0) * this.#width;
          if (kept === 0) continue;
          for (let head = row * keyValueHeads; head < (row + 1) * keyValueHeads; head++)
            grown.set(old.subarray(head * oldHead, head * oldHead + kept), head * newHead);
        }
      }
      // One layer at a time, so that at most one array exists twice.
      this.#arrays[index] = grown;
    }
    this.#capacity = capacity;
    return true;
  }

  #allocate(length: number, capacity: number): Float32Array {
    try {
      return new Float32Array(length);
    } catch (cause) {
      const bytes = cacheBytes(this.#config, this.rows, capacity);
      throw new CacheMemoryError({
        code: "E_CACHE_MEMORY",
        message: `Keys and values of ${this.rows} rows of ${capacity} tokens need ${(bytes / 2 ** 30).toFixed(2)} GiB, which this process cannot have.`,
        hint: "lower `slots` or `contextLength` of the local policy.",
        facts: { rows: this.rows, capacity, bytes },
        cause,
      });
    }
  }

  /** Copies the first `length` tokens of row `from` to row `to`. */
  copyRow(from: number, to: number, length: number): void {
    if (from === to || length === 0) return;
    const heads = this.#config.keyValueHeads;
    const head = this.#headStride;
    const kept = length * this.#width;
    for (const array of this.#arrays)
      for (let h = 0; h < heads; h++) {
        const source = (from * heads + h) * head;
        array.copyWithin((to * heads + h) * head, source, source + kept);
      }
  }

  /** Views of rows `first` to `first + count`: keys and values of layer 0, of layer 1, …; the caller disposes. */
  tensors(first: number, count: number): OrtTensor[] {
    const stride = this.#rowStride;
    const shape = [count, this.#config.keyValueHeads, this.#capacity, this.#width];
    return this.#arrays.map((array) =>
      this.#backend.tensor(array.subarray(first * stride, (first + count) * stride), shape),
    );
  }
}
