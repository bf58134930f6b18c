/**
 * @file Notices a workflow that asks the world behind its context's back: `Math.random` and the clock give something else
 * in each run, so a replay cannot repeat it. Watched only while a replay runs, and only inside it.
 */

import { AsyncLocalStorage } from "node:async_hooks";

/** One use, with the line of the user's code. */
export interface HiddenInput {
  readonly what: "Math.random" | "Date.now" | "new Date" | "performance.now";
  readonly where: string;
}

const watched = new AsyncLocalStorage<HiddenInput[]>();
let active = 0;
let restore: (() => void) | undefined;

/** Runs `work` and collects its uses of `Math.random`, `Date.now`, `new Date()` and `performance.now`. */
export async function watchHiddenInputs<T>(
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly uses: readonly HiddenInput[] }> {
  const uses: HiddenInput[] = [];
  if (active++ === 0) restore = patch();
  try {
    return { value: await watched.run(uses, work), uses };
  } finally {
    if (--active === 0) restore?.();
  }
}

function patch(): () => void {
  const { random } = Math;
  const RealDate = Date;
  const { now } = Date;
  const performanceNow = performance.now;
  Math.random = () => {
    note("Math.random");
    return random();
  };
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given, newTarget) => {
      if (given.length === 0) note("new Date");
      return Reflect.construct(target, given, newTarget) as object;
    },
    // Date(), without new: the time as a text.
    apply: (target, self, given) => {
      note("new Date");
      return Reflect.apply(target, self, given) as string;
    },
    get: (target, name, receiver) => {
      if (name !== "now") return Reflect.get(target, name, receiver) as unknown;
      return () => {
        note("Date.now");
        return now();
      };
    },
  });
  performance.now = () => {
    note("performance.now");
    return performanceNow.call(performance);
  };
  return () => {
    Math.random = random;
    globalThis.Date = RealDate;
    performance.now = performanceNow;
  };
}

function note(what: HiddenInput["what"]): void {
  const uses = watched.getStore();
  if (uses === undefined || uses.length >= 8) return;
  const lines = new Error().stack?.split("\n").slice(3) ?? [];
  const where =
    lines
      .find((line) => !line.includes("node:internal"))
      ?.trim()
      .replace(/^at /, "") ?? "unknown place";
  uses.push({ what, where });
}
