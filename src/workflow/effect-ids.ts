/** @file Numbers for calls and tools, in the order of their issue, around those that a journal has given already; counts. */

export class EffectIds {
  readonly #taken: ReadonlySet<number>;
  #next = 0;

  constructor(taken: ReadonlySet<number> = new Set()) {
    this.#taken = taken;
  }

  next(): number {
    while (this.#taken.has(this.#next)) this.#next++;
    return this.#next++;
  }
}

/** How often `name` was counted before. */
export function count(counts: Map<string, number>, name: string): number {
  const before = counts.get(name) ?? 0;
  counts.set(name, before + 1);
  return before;
}
