/** @file A clock that a test moves: a day of deadlines passes in the time it takes to run the code between them. */

import type { Clock, Timer } from "../workflow/clock.ts";

interface Alarm {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
}

export class VirtualClock implements Clock {
  readonly #alarms = new Set<Alarm>();
  readonly #start: number;
  #now = 0;
  #order = 0;

  /** `start`: milliseconds since 1970 at the beginning. Default 0. */
  constructor(start = 0) {
    this.#start = start;
  }

  now(): number {
    return this.#now;
  }

  date(): number {
    return this.#start + this.#now;
  }

  after(milliseconds: number, work: () => void): Timer {
    const alarm = { at: this.#now + Math.max(0, milliseconds), order: this.#order++, work };
    this.#alarms.add(alarm);
    return { cancel: () => void this.#alarms.delete(alarm) };
  }

  /** Resolves after virtual time: for policies and tools that take long. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(milliseconds, resolve);
    });
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#alarms.size;
  }

  /** Moves to the next alarm and rings it; false if there is none. Everything that follows from it has run afterwards. */
  async next(): Promise<boolean> {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (first === undefined || alarm.at < first.at || (alarm.at === first.at && alarm.order < first.order))
        first = alarm;
    }
    if (first === undefined) return false;
    this.#alarms.delete(first);
    this.#now = first.at;
    first.work();
    await new Promise((resolve) => setImmediate(resolve));
    return true;
  }

  /** Rings everything that is due within the time, then stands at its end. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await new Promise((resolve) => setImmediate(resolve));
    while ([...this.#alarms].some(({ at }) => at <= end)) await this.next();
    this.#now = end;
  }
}
