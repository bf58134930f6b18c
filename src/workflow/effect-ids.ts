/** @file Numbers for calls and tools, in the order of their issue, around those that a journal has given already. */

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
