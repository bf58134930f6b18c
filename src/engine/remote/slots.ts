/** @file At most so many requests at once, first come first served; whoever is cancelled leaves the queue. */

export class Slots {
  readonly #limit: number;
  #taken = 0;
  readonly #queue = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `work` when a slot is free. Rejects with the signal's reason if that comes first. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#taken >= this.#limit) await this.#turn(signal);
    else this.#taken += 1;
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#queue.delete(enter);
        reject(signal.reason);
      };
      this.#queue.add(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** A slot goes straight to the first in the queue, so that nobody else takes it in between. */
  #release(): void {
    for (const enter of this.#queue) {
      this.#queue.delete(enter);
      enter();
      return;
    }
    this.#taken -= 1;
  }
}
