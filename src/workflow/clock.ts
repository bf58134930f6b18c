/** @file The clock that deadlines are kept by: the system's, or a virtual one that makes a day of episodes pass at once. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970: what `ctx.now()` gives to a workflow. */
  date(): number;
  /** Runs `work` once, not before `milliseconds` have passed, unless it is cancelled. */
  after(milliseconds: number, work: () => void): Timer;
}

// Taken once: a replay watches the global ones for uses by the workflow.
const now = performance.now.bind(performance);
const date = Date.now;

interface Slot {
  readonly due: number;
  readonly waiting: Set<Wait>;
  timer: ReturnType<typeof setTimeout>;
}

class Wait implements Timer {
  readonly #slots: Map<number, Slot>;
  readonly #slot: Slot;
  readonly work: () => void;

  constructor(slots: Map<number, Slot>, slot: Slot, work: () => void) {
    this.#slots = slots;
    this.#slot = slot;
    this.work = work;
  }

  /** A slot nobody waits in must not keep the process alive. */
  cancel(): void {
    const { waiting, timer, due } = this.#slot;
    if (!waiting.delete(this) || waiting.size > 0) return;
    clearTimeout(timer);
    this.#slots.delete(due);
  }
}

/**
 * Timers in slots, 10 ms wide for short waits and 250 ms for long ones, with one system timer a slot: a call sets a
 * deadline that almost never passes, and a system timer for each of 80,000 calls would cost more than the calls.
 */
class SystemClock implements Clock {
  readonly #slots = new Map<number, Slot>();

  now(): number {
    return now();
  }

  date(): number {
    return date();
  }

  after(milliseconds: number, work: () => void): Timer {
    const since = now();
    const width = milliseconds < 2000 ? 10 : 250;
    const due = Math.ceil((since + milliseconds) / width) * width;
    let slot = this.#slots.get(due);
    if (slot === undefined) {
      slot = { due, waiting: new Set(), timer: this.#ringAfter(due - since, due) };
      this.#slots.set(due, slot);
    }
    const wait = new Wait(this.#slots, slot, work);
    slot.waiting.add(wait);
    return wait;
  }

  /** Longer waits than setTimeout knows (24.8 days) would fire at once. */
  #ringAfter(milliseconds: number, due: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#ring(due), Math.min(milliseconds, 2 ** 31 - 1));
  }

  #ring(due: number): void {
    const slot = this.#slots.get(due);
    if (slot === undefined) return;
    // Node 24's timers may fire half a millisecond early, and a very long wait has parts.
    const left = due - now();
    if (left > 0) {
      slot.timer = this.#ringAfter(left, due);
      return;
    }
    this.#slots.delete(due);
    for (const { work } of slot.waiting) work();
  }
}

export const systemClock: Clock = new SystemClock();
