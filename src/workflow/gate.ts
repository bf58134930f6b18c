/**
 * @file How many effects of one kind may run at once, per policy and per tool, first come first served. A closed gate
 * lets nobody in until it opens: weights change only while no call of their policy is being sampled.
 */

/** One limit with its queue. */
export class Gate {
  readonly name: string;
  readonly limit: number;
  #inside = 0;
  #closed = false;
  readonly #queue: (() => void)[] = [];
  /** First entry of the queue that still waits: shifting an array of thousands would cost. */
  #head = 0;
  readonly #onEmpty: (() => void)[] = [];
  #admitting = false;

  constructor(name: string, limit = Number.POSITIVE_INFINITY) {
    this.name = name;
    this.limit = limit;
  }

  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** Runs `enter` inside the gate: at once if there is room, else when its turn comes. Whoever enters must leave. */
  enter(enter: () => void): void {
    if (this.#closed || this.#inside >= this.limit) {
      this.#queue.push(enter);
      return;
    }
    this.#inside++;
    enter();
  }

  leave(): void {
    this.#inside--;
    this.#admit();
    if (this.#inside === 0) for (const done of this.#onEmpty.splice(0)) done();
  }

  /** Nobody enters any more; resolves when the last one inside has left. */
  close(): Promise<void> {
    this.#closed = true;
    if (this.#inside === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
    });
  }

  open(): void {
    this.#closed = false;
    this.#admit();
  }

  #admit(): void {
    // Thousands that were stopped while they waited leave as they enter: a loop, not a call within a call.
    if (this.#admitting) return;
    this.#admitting = true;
    try {
      while (!this.#closed && this.#inside < this.limit && this.#head < this.#queue.length) {
        const enter = this.#queue[this.#head++]!;
        if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
          this.#queue.splice(0, this.#head);
          this.#head = 0;
        }
        this.#inside++;
        enter();
      }
    } finally {
      this.#admitting = false;
    }
  }
}

/** Limits of a run: effects in flight, by policy name and by tool name. Default: no limit. */
export interface ConcurrencyLimits {
  readonly policies?: Readonly<Record<string, number>>;
  readonly tools?: Readonly<Record<string, number>>;
}

/** The gates that all episodes of a run share. */
export class Gates {
  readonly #policies = new Map<string, Gate>();
  readonly #tools = new Map<string, Gate>();
  readonly #limits: ConcurrencyLimits;

  constructor(limits: ConcurrencyLimits = {}) {
    this.#limits = limits;
  }

  policy(name: string): Gate {
    let gate = this.#policies.get(name);
    if (gate === undefined) {
      gate = new Gate(`policy "${name}"`, this.#limits.policies?.[name]);
      this.#policies.set(name, gate);
    }
    return gate;
  }

  tool(name: string): Gate {
    let gate = this.#tools.get(name);
    if (gate === undefined) {
      gate = new Gate(`tool "${name}"`, this.#limits.tools?.[name]);
      this.#tools.set(name, gate);
    }
    return gate;
  }

  /** For watchdogs: gates with somebody inside or waiting. */
  busy(): Gate[] {
    return [...this.#policies.values(), ...this.#tools.values()].filter(
      ({ inside, waiting }) => inside + waiting > 0,
    );
  }
}
