/**
 * @file Which sequence has which row of the key/value cache. Active rows are 0 to `active.length`, so that a decode
 * run sees one range; rows above keep prompts of finished sequences for reuse, from the top down, oldest out first.
 * Row 1 is never kept, because a decode run of one sequence is padded with it.
 *
 * Only keys and values of prompt tokens are reused. Those of sampled tokens came from one-row attention kernels,
 * whose rounding differs in the last bit from a prefill's: reusing them would make tokens depend on whether an
 * earlier sequence happened to be kept. A prompt's own differ not at all, however it was cut, batched or shared.
 */

import type { Decoder } from "./decoder.ts";
import type { Sequence } from "./sequence.ts";

/** A prefix that nobody samples from. */
interface Kept {
  readonly tokens: Int32Array;
  reusable: number;
  used: number;
  /** A prompt that is being prefilled in pieces: may move, may not go. */
  readonly pinned: boolean;
}

export interface PrefixMatch {
  readonly row: number;
  readonly length: number;
}

/** Shorter prefixes are cheaper to compute again than to find a place for. */
export const shortestReuse = 32;

export class RowTable {
  readonly active: Sequence[] = [];
  readonly #decoder: Decoder;
  readonly #kept: (Kept | null)[];
  readonly #lengths: Int32Array;
  #clock = 0;

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
    this.#kept = Array.from({ length: decoder.cache.rows }, () => null);
    this.#lengths = new Int32Array(decoder.cache.rows);
  }

  get keptCount(): number {
    return this.#kept.reduce((count, kept) => count + (kept && !kept.pinned ? 1 : 0), 0);
  }

  /** Makes room for `needed` tokens a row without losing any. */
  reserve(needed: number): void {
    if (needed <= this.#decoder.cache.capacity) return;
    for (let row = 0; row < this.#lengths.length; row++)
      this.#lengths[row] = this.active[row]?.cached ?? this.#kept[row]?.reusable ?? 0;
    this.#decoder.reserve(needed, this.#lengths);
  }

  /** The row that shares the longest prefix with `prompt`, if it is worth reusing. */
  longestPrefix(prompt: Int32Array): PrefixMatch | null {
    let best: PrefixMatch | null = null;
    for (let row = 0; row < this.#kept.length; row++) {
      const sequence = this.active[row];
      const kept = this.#kept[row];
      const source = sequence ?? kept;
      if (!source || source.reusable < Math.max(shortestReuse, (best?.length ?? 0) + 1)) continue;
      const length = commonPrefix(prompt, source.tokens, source.reusable);
      if (length >= shortestReuse && length > (best?.length ?? 0)) best = { row, length };
    }
    return best;
  }

  /** A kept prefix that is about to be copied is not the one to make room with. */
  touch({ row }: PrefixMatch): void {
    const kept = this.#kept[row];
    if (kept) kept.used = ++this.#clock;
  }

  /** Frees row `active.length` and the `count - 1` after it, by moving or forgetting what they keep. */
  makeRoom(count: number): number {
    const first = this.active.length;
    for (let row = first; row < first + count; row++) {
      const kept = this.#kept[row];
      if (!kept) continue;
      this.#kept[row] = null;
      const target = this.#placeToKeep(first + count, kept.pinned ? Number.POSITIVE_INFINITY : kept.used);
      if (target < 0) continue;
      this.#decoder.cache.copyRow(row, target, kept.reusable);
      this.#kept[target] = kept;
    }
    return first;
  }

  /** Adds a sequence whose keys and values are in row `active.length`. */
  activate(sequence: Sequence): void {
    const row = this.active.length;
    if (this.#kept[row])
      throw new RangeError(`Row ${row} still keeps a prompt; makeRoom was not called for it.`);
    this.active.push(sequence);
  }

  /** Takes a sequence out; its prompt is kept if it may be of use. */
  release(row: number): void {
    const sequence = this.active[row]!;
    const last = this.active.length - 1;
    if (sequence.reusable >= shortestReuse && !this.#isCovered(sequence, row)) {
      const target = this.#placeToKeep(this.active.length, Number.POSITIVE_INFINITY);
      if (target >= 0) this.#keep(row, target, sequence.tokens.slice(0, sequence.reusable), false);
    }
    if (row !== last) {
      this.#decoder.cache.copyRow(last, row, this.active[last]!.cached);
      this.active[row] = this.active[last]!;
    }
    this.active.pop();
  }

  #keep(from: number, to: number, tokens: Int32Array, pinned: boolean): void {
    this.#decoder.cache.copyRow(from, to, tokens.length);
    this.#kept[to] = { tokens, reusable: tokens.length, used: ++this.#clock, pinned };
  }

  #isCovered(sequence: Sequence, own: number): boolean {
    const { tokens, reusable } = sequence;
    for (let row = 0; row < this.#kept.length; row++) {
      const other = row === own ? null : (this.active[row] ?? this.#kept[row]);
      if (other && other.reusable >= reusable && commonPrefix(tokens, other.tokens, reusable) === reusable)
        return true;
    }
    return false;
  }

  /**
   * The highest free row from `first` on, or else the one kept longest without use, if that is older than `used`;
   * or -1.
   */
  #placeToKeep(first: number, used: number): number {
    let oldest = -1;
    for (let row = this.#kept.length - 1; row >= Math.max(first, 2); row--) {
      const kept = this.#kept[row];
      if (!kept) return row;
      if (kept.pinned || kept.used > used) continue;
      if (oldest < 0 || kept.used < this.#kept[oldest]!.used) oldest = row;
    }
    return oldest;
  }

  /** A row for a prompt that is prefilled in pieces. Its first `start` tokens are copied from `source`. */
  stage(prompt: Int32Array, source: PrefixMatch | null, start: number): void {
    const row = this.#placeToKeep(this.active.length, Number.POSITIVE_INFINITY);
    if (source) this.#decoder.cache.copyRow(source.row, row, start);
    this.#kept[row] = { tokens: prompt, reusable: start, used: ++this.#clock, pinned: true };
  }

  /** Row of the staged prompt, or -1. */
  get stagedRow(): number {
    return this.#kept.findIndex((kept) => kept?.pinned);
  }

  /** Tokens of the staged prompt that have keys and values. */
  get stagedLength(): number {
    return this.#kept[this.stagedRow]?.reusable ?? 0;
  }

  advanceStaged(length: number): void {
    this.#kept[this.stagedRow]!.reusable = length;
  }

  /** The staged prompt goes to row `active.length`, with room for `count` sequences from there on. */
  unstage(count: number): void {
    const before = this.stagedRow;
    const length = this.stagedLength;
    const row = this.makeRoom(count);
    // Making room may have moved it.
    const now = this.stagedRow;
    this.#decoder.cache.copyRow(now < 0 ? before : now, row, length);
    this.dropStaged();
  }

  dropStaged(): void {
    const row = this.stagedRow;
    if (row >= 0) this.#kept[row] = null;
  }

  /** Forgets everything kept: it was computed with other weights. */
  forget(): void {
    this.#kept.fill(null);
  }
}

/** Number of leading tokens that agree, at most `limit`. */
function commonPrefix(a: Int32Array, b: Int32Array, limit: number): number {
  const most = Math.min(a.length, b.length, limit);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

export const sharedPrefix = (a: Int32Array, b: Int32Array): number => commonPrefix(a, b, a.length);
