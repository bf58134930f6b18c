/**
 * @file Attempts at one request: exponential waits with full jitter (Brooker, "Exponential Backoff and Jitter", AWS
 * 2015), what the service asks for in Retry-After, one deadline over all. The jitter is keyed, so a run waits the same.
 */

import { setTimeout as delay } from "node:timers/promises";
import { type Key, key, uniformAt } from "../../random/stream.ts";
import { RemoteError, Retryable } from "./errors.ts";

export interface AttemptSettings {
  /** Seconds of one attempt, to the last byte of its answer. Default 120. */
  readonly attemptSeconds?: number;
  /** Seconds of all attempts and the waits between them. Default 600. */
  readonly deadlineSeconds?: number;
  /** Default 8. */
  readonly attempts?: number;
  /** Seconds; the n-th wait is uniform in [0, min(longestWait, firstWait · 2ⁿ⁻¹)). Default 0.5. */
  readonly firstWaitSeconds?: number;
  /** Seconds. Default 30. */
  readonly longestWaitSeconds?: number;
}

export const attemptDefaults: Required<AttemptSettings> = {
  attemptSeconds: 120,
  deadlineSeconds: 600,
  attempts: 8,
  firstWaitSeconds: 0.5,
  longestWaitSeconds: 30,
};

/** What is asked, for errors. */
export interface Asked {
  readonly policy: string;
  readonly model: string;
}

/**
 * Calls `attempt` until it answers, throws something that is not {@link Retryable}, or time is up.
 *
 * @throws RemoteError: the last attempt's, or E_REMOTE_DEADLINE; the signal's reason when it is aborted.
 */
export async function tryRepeatedly<T>(
  asked: Asked,
  settings: Required<AttemptSettings>,
  at: Key,
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const started = performance.now();
  const left = () => settings.deadlineSeconds - (performance.now() - started) / 1000;
  const jitter = key(...at, "remote attempts");
  for (let number = 1; ; number++) {
    const failure = await once(asked, settings, signal, left(), attempt);
    if (!(failure instanceof Retryable)) return failure.value;
    if (number >= settings.attempts) throw failure.error;
    const range = Math.min(settings.longestWaitSeconds, settings.firstWaitSeconds * 2 ** (number - 1));
    // Those who were told the same time do not come back together.
    const wait = (failure.afterSeconds ?? 0) + range * uniformAt(jitter, number);
    if (wait >= left()) throw outOfTime(asked, settings, number, failure.error);
    await delay(wait * 1000, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
  }
}

async function once<T>(
  asked: Asked,
  { attemptSeconds }: Required<AttemptSettings>,
  signal: AbortSignal,
  secondsLeft: number,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<{ readonly value: T } | Retryable> {
  signal.throwIfAborted();
  const own = new AbortController();
  const stop = () => own.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const seconds = Math.min(attemptSeconds, secondsLeft);
  const timer = setTimeout(() => own.abort(tooSlow), seconds * 1000);
  try {
    return { value: await attempt(own.signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (own.signal.aborted) return new Retryable(slow(asked, seconds));
    if (error instanceof Retryable) return error;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

const tooSlow = new Error("too slow");

function slow({ policy, model }: Asked, seconds: number): RemoteError {
  return new RemoteError({
    code: "E_REMOTE_DEADLINE",
    message: `Policy "${policy}" (${model}) gave no whole answer within ${seconds.toFixed(1)} s.`,
    hint: "raise `attemptSeconds`, lower maxTokens, or lower `concurrency`.",
    facts: { policy, model, seconds },
  });
}

function outOfTime(
  { policy, model }: Asked,
  { deadlineSeconds }: Required<AttemptSettings>,
  attempts: number,
  last: RemoteError,
): RemoteError {
  return new RemoteError({
    code: "E_REMOTE_DEADLINE",
    message: `Policy "${policy}" (${model}) did not answer within ${deadlineSeconds} s and ${attempts} attempts. The last one: ${last.message}`,
    hint: "raise `deadlineSeconds`, or lower `concurrency` if the service limits rates.",
    facts: { ...last.facts, policy, model, attempts, last: last.code },
    cause: last,
  });
}

/**
 * Seconds that a Retry-After header asks for: a number, or a date, which is compared with the service's own clock.
 */
export function retryAfterSeconds(header: string | null, date: string | null): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const difference = (Date.parse(header) - Date.parse(date ?? "")) / 1000;
  return Number.isFinite(difference) ? Math.max(0, difference) : undefined;
}
