/** @file A priority queue of token pairs for BPE training: most frequent first, then the smaller pair. */

/** Binary heap over two number arrays. Entries may be stale; {@link popMostFrequent} corrects them as they surface. */
export class PairQueue {
  readonly #pairs: number[] = [];
  readonly #counts: number[] = [];

  push(pair: number, count: number): void {
    let at = this.#pairs.push(pair) - 1;
    this.#counts.push(count);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Takes the pair with the largest current count; `undefined` when none is left. */
  popMostFrequent(current: ReadonlyMap<number, number>): number | undefined {
    for (;;) {
      const pair = this.#pairs[0];
      if (pair === undefined) return undefined;
      const seen = this.#counts[0]!;
      this.#removeFirst();
      const count = current.get(pair) ?? 0;
      if (count === seen) return pair;
      // A larger count has an entry of its own; a smaller one has none yet.
      if (count > 0 && count < seen) this.push(pair, count);
    }
  }

  #before(a: number, b: number): boolean {
    const difference = this.#counts[a]! - this.#counts[b]!;
    return difference > 0 || (difference === 0 && this.#pairs[a]! < this.#pairs[b]!);
  }

  #swap(a: number, b: number): void {
    const pair = this.#pairs[a]!;
    const count = this.#counts[a]!;
    this.#pairs[a] = this.#pairs[b]!;
    this.#counts[a] = this.#counts[b]!;
    this.#pairs[b] = pair;
    this.#counts[b] = count;
  }

  #removeFirst(): void {
    const last = this.#pairs.length - 1;
    this.#swap(0, last);
    this.#pairs.pop();
    this.#counts.pop();
    for (let at = 0; ; ) {
      let best = at;
      const child = 2 * at + 1;
      if (child < last && this.#before(child, best)) best = child;
      if (child + 1 < last && this.#before(child + 1, best)) best = child + 1;
      if (best === at) return;
      this.#swap(at, best);
      at = best;
    }
  }
}
