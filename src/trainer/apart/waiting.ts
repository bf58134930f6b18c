/** @file Waiting for another process: looking into the store now and then, and saying for whom and since when. */

import { setTimeout as sleep } from "node:timers/promises";
import { ApartError } from "./errors.ts";

export interface Patience {
  /** Seconds after which a wait is an error. */
  readonly timeout: number;
  /** Seconds after which it is said who waits for whom; then after twice as long, and so on. */
  readonly sayAfter: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Longest pause between two looks, in milliseconds. */
const longestPause = 500;

/**
 * What `look` finds, once it finds something; undefined if the signal came first.
 *
 * @param what is waited for, as a sentence without its end: "step 3 waits for policy "sub""
 * @param about who that is and what it does, for what is said
 * @throws ApartError E_APART_TIMEOUT
 */
export async function waitFor<T>(
  look: () => Promise<T | undefined>,
  what: string,
  about: () => Promise<string>,
  { timeout, sayAfter, signal, say }: Patience,
): Promise<T | undefined> {
  const began = performance.now();
  let sayAt = sayAfter;
  for (let pause = 5; !signal.aborted; pause = Math.min(longestPause, pause * 1.5)) {
    const found = await look();
    if (found !== undefined) return found;
    const seconds = (performance.now() - began) / 1000;
    if (seconds >= timeout) throw await late(what, seconds, about);
    if (seconds >= sayAt) {
      say(`${what}, for ${Math.round(seconds)} s now: ${await about()}`);
      sayAt = seconds * 2;
    }
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
  return undefined;
}

async function late(what: string, seconds: number, about: () => Promise<string>): Promise<ApartError> {
  return new ApartError({
    code: "E_APART_TIMEOUT",
    message: `${what}, in vain for ${Math.round(seconds)} s: ${await about()}.`,
    hint: "start that process (again), then this one; both go on where they were. A longer `timeout` waits longer.",
    facts: { seconds },
  });
}
