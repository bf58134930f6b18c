/** @file One effect under a deadline and a parent's signal, without leaving timers or listeners behind. */

/** Reason of an abort after a workflow has returned: nobody waits for the effect any more. */
export const episodeEnded: unique symbol = Symbol("episode ended");

export interface DeadlineOptions {
  /** Infinity: none. */
  readonly seconds: number;
  readonly parent: AbortSignal;
  readonly onLate: () => Error;
}

/**
 * Starts `work` and settles with it, or rejects when it is late or when the parent aborts, whichever is first; `work`'s
 * own signal aborts in both cases. After {@link episodeEnded} the promise stays pending, so that a call that nobody
 * awaits cannot bring the process down.
 */
export function underDeadline<T>(
  { seconds, parent, onLate }: DeadlineOptions,
  work: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const controller = new AbortController();
    const finish = () => {
      clearTimeout(timer);
      parent.removeEventListener("abort", stop);
    };
    const stop = () => {
      finish();
      controller.abort(parent.reason);
      if (parent.reason !== episodeEnded) reject(parent.reason);
    };
    const late = () => {
      finish();
      const error = onLate();
      controller.abort(error);
      reject(error);
    };
    const timer = Number.isFinite(seconds) ? setTimeout(late, seconds * 1000) : undefined;
    if (parent.aborted) return stop();
    parent.addEventListener("abort", stop, { once: true });
    let started: Promise<T>;
    try {
      started = Promise.resolve(work(controller.signal));
    } catch (error) {
      started = Promise.reject(error);
    }
    started.then(
      (value) => {
        finish();
        if (!parent.aborted) resolve(value);
      },
      (error) => {
        finish();
        if (!parent.aborted) reject(error);
      },
    );
  });
}

/** What an effect gives back that is asked for after its episode was stopped: the reason, or nothing ever. */
export function stoppedEffect({ reason }: AbortSignal): Promise<never> {
  return reason === episodeEnded ? new Promise(() => {}) : Promise.reject(reason);
}
