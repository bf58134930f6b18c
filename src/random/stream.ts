/**
 * @file Keyed streams of random numbers. A stream is named by what it is for, for example
 * `stream(seed, "sample", step, task, sample, agent, turn)`, and never by when it is used: scheduling,
 * batching and concurrency cannot change a draw.
 */

import { philox } from "./philox.ts";

/** A part of a stream's name. Integers and strings; order matters. */
export type KeyPart = number | string;

/** 64 bits that name a stream: two unsigned 32-bit halves. Plain data, so it crosses threads and goes into logs. */
export type Key = readonly [number, number];

/** Hashes parts to a {@link Key}. Philox itself is the mixing function, chained over the parts. */
export function key(...parts: readonly KeyPart[]): Key {
  let k0 = 0x243f6a88;
  let k1 = 0x85a308d3;
  const out = new Uint32Array(4);
  const absorb = (a: number, b: number, tag: number) => {
    philox(a >>> 0, b >>> 0, tag, 0, k0, k1, out);
    k0 = out[0]!;
    k1 = out[1]!;
  };
  for (const part of parts) {
    if (typeof part === "number") {
      if (!Number.isSafeInteger(part))
        throw new RangeError(`A key part must be a safe integer or a string, got ${part}.`);
      absorb(part, Math.floor(part / 0x1_0000_0000), 1);
    } else {
      for (let i = 0; i < part.length; i += 2)
        absorb(part.charCodeAt(i), i + 1 < part.length ? part.charCodeAt(i + 1) : 0, 2);
      absorb(part.length, 0, 3);
    }
  }
  return [k0, k1];
}

const toUnit = 1 / 0x1_0000_0000;
const block = new Uint32Array(4);

/** The `index`-th draw of a key: uniform in [0, 1) with 53 bits. Stateless. */
export function uniformAt(at: Key, index: number): number {
  philox(index >>> 0, Math.floor(index / 0x1_0000_0000), 0, 0, at[0], at[1], block);
  return (block[0]! + (block[1]! >>> 11) * 2 ** -21) * toUnit;
}

/** Sequential draws from one key. Two streams of the same key give the same numbers. */
export class Stream {
  readonly #key: Key;
  #index = 0;

  constructor(at: Key) {
    this.#key = at;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return uniformAt(this.#key, this.#index++);
  }

  /** Uniform integer in [0, bound). */
  integer(bound: number): number {
    if (!(bound >= 1)) throw new RangeError(`Stream.integer needs a bound of at least 1, got ${bound}.`);
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("Stream.pick was given an empty list.");
    return items[this.integer(items.length)]!;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const result = items.slice();
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }
}

/** Shorthand: `new Stream(key(...parts))`. */
export function stream(...parts: readonly KeyPart[]): Stream {
  return new Stream(key(...parts));
}
