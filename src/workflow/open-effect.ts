/** @file One effect between its issue and its settling: behind its gate, under its deadline, stopped from outside. */

import type { Clock, Timer } from "./clock.ts";
import type { Gate } from "./gate.ts";

/** Reason of the abort signals after the workflow has returned: nobody waits for its effects any more. */
export const episodeEnded: unique symbol = Symbol("episode ended");

export interface EffectPlan<T> {
  /** For messages: 'agent "planner" (call 0)'. */
  readonly name: string;
  readonly seconds: number;
  readonly gate: Gate | undefined;
  readonly onLate: (open: EffectView) => Error;
  readonly work: (open: EffectView) => T | Promise<T>;
  /** Stops this effect alone. */
  readonly signal?: AbortSignal | undefined;
  /** Its answer comes from the journal, at its turn. */
  readonly fromJournal?: true;
}

/** A promise that nobody awaits must not become an unhandled rejection; whoever awaits it still sees the error. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(ignore);
  return promise;
}

const ignore = (): void => {};

/** What the work of an effect may look at. */
export interface EffectView {
  /** Aborts when the effect is late, stopped, or its episode ends. */
  readonly signal: AbortSignal;
  /** False while it waits at its gate. */
  readonly entered: boolean;
}

/** What an open effect tells its episode. */
interface Episode {
  readonly clock: Clock;
  seconds(): number;
  closed(effect: OpenView): void;
  deliver(settle: () => void, fromJournal: boolean): void;
}

/** An open effect, whatever its result. */
export type OpenView = Pick<OpenEffect<never>, "name" | "startedAt" | "entered" | "abandon">;

/** One effect that has been issued and not yet settled: behind its gate, or under way. */
export class OpenEffect<T = unknown> {
  readonly name: string;
  readonly startedAt: number;
  /** False while it waits at its gate. */
  entered = false;
  readonly #episode: Episode;
  readonly #plan: EffectPlan<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #timer: Timer | undefined;
  readonly #onAbort: (() => void) | undefined;
  #settled = false;
  #controller: AbortController | undefined;
  #reason: unknown;

  constructor(
    episode: Episode,
    plan: EffectPlan<T>,
    resolve: (value: T) => void,
    reject: (reason: unknown) => void,
  ) {
    this.name = plan.name;
    this.startedAt = episode.seconds();
    this.#episode = episode;
    this.#plan = plan;
    this.#resolve = resolve;
    this.#reject = reject;
    const { seconds, signal } = plan;
    if (Number.isFinite(seconds)) this.#timer = episode.clock.after(seconds * 1000, () => this.#late());
    if (signal !== undefined) {
      this.#onAbort = () => this.stop(signal.reason);
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
  }

  /** Made when somebody looks. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  start(): void {
    const { gate, signal } = this.#plan;
    if (signal?.aborted === true) this.stop(signal.reason);
    else if (gate === undefined) this.#enter();
    else gate.enter(() => this.#enter());
  }

  /** Its own signal: the workflow stops it, and hears so at once. */
  stop(reason: unknown): void {
    if (!this.#settle()) return;
    this.#abort(reason);
    this.#reject(reason);
  }

  /**
   * Its episode is over: the work is told to stop, and the promise stays pending. A rejection would go on in user code:
   * in a branch that nobody awaits any more it would end the process, in a loop that tries again it would never end.
   */
  abandon(reason: unknown): void {
    if (this.#settle()) this.#abort(reason);
  }

  #enter(): void {
    // Stopped while it waited: the place goes to the next one.
    if (this.#settled) {
      this.#plan.gate?.leave();
      return;
    }
    this.entered = true;
    const complete = (value: T) =>
      this.#deliver(() => {
        if (this.#settle()) this.#resolve(value);
      });
    const fail = (error: unknown) => this.#deliver(() => this.#fail(error));
    let started: T | Promise<T>;
    try {
      started = this.#plan.work(this);
    } catch (error) {
      fail(error);
      return;
    }
    if (started instanceof Promise) started.then(complete, fail);
    else Promise.resolve(started).then(complete, fail);
  }

  #late(): void {
    if (this.#settled) return;
    const error = this.#plan.onLate(this);
    // Many are late in one tick of the clock: each settles on its own, as in a replay.
    this.#deliver(() => this.#fail(error));
    this.#abort(error);
  }

  #deliver(settle: () => void): void {
    this.#episode.deliver(settle, this.#plan.fromJournal ?? false);
  }

  #fail(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#episode.closed(this);
    this.#timer?.cancel();
    if (this.#onAbort !== undefined) this.#plan.signal?.removeEventListener("abort", this.#onAbort);
    if (this.entered) this.#plan.gate?.leave();
    return true;
  }

  #abort(reason: unknown): void {
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
