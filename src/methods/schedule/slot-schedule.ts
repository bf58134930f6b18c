/**
 * @file What jobs of known length do on a number of slots: when each starts, and when the last one ends (the makespan).
 * A slot is a row of the decode batch, and a length is the tokens that an episode samples.
 *
 *   waves:       the next `slots` jobs start when all of the wave before have ended;  makespan = Σ_waves max l
 *   continuous:  a job starts as soon as any slot is free (list scheduling)
 *
 * Rules of order: arrival; shortest first (SJF); longest first (LPT, makespan at most 4/3 − 1/(3·slots) of the best:
 * Graham, "Bounds on multiprocessing timing anomalies", 1969). Ties keep the order of arrival.
 */

import { wrongSetting } from "../errors.ts";

export type SlotMode = "waves" | "continuous";
export type OrderRule = "arrival" | "shortest" | "longest";

export interface SlotTimes {
  /** [n] when each job starts and ends, in tokens from the beginning. */
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  /** [n] the slot that each job takes; with equal ends the lowest slot is free first. */
  readonly slotOf: Int32Array;
  /** When the last job ends: decode steps, if each step gives every busy slot a token. */
  readonly makespan: number;
  /** Σ lengths ÷ (slots · makespan), at most 1; 1 with nothing to do. */
  readonly utilisation: number;
  /** Most jobs at once. */
  readonly peakJobs: number;
  /** Most tokens of jobs that have not ended: what their keys and values take, prompts apart. */
  readonly peakTokens: number;
}

/** @throws MethodSettingsError if a length is negative or no number, or a slot is missing. */
export function checkJobs(lengths: ArrayLike<number>, slots: number): void {
  if (!Number.isInteger(slots) || slots < 1)
    throw wrongSetting("slot schedule", "slots", slots, "an integer of at least 1");
  for (let i = 0; i < lengths.length; i++) {
    if (!(lengths[i]! >= 0 && Number.isFinite(lengths[i])))
      throw wrongSetting("slot schedule", `lengths[${i}]`, lengths[i], "a finite number of at least 0");
  }
}

/** [n] places of the jobs in the order in which they start. */
export function orderByLength(lengths: ArrayLike<number>, rule: OrderRule): number[] {
  const places = Array.from({ length: lengths.length }, (_, i) => i);
  if (rule === "arrival") return places;
  const sign = rule === "shortest" ? 1 : -1;
  return places.sort((a, b) => sign * (lengths[a]! - lengths[b]!) || a - b);
}

/**
 * @param lengths [n] tokens of each job.
 * @param order [n] places in `lengths`, each once. Default: arrival.
 */
export function simulateSlots(
  lengths: ArrayLike<number>,
  {
    slots,
    mode = "continuous",
    order = orderByLength(lengths, "arrival"),
  }: { readonly slots: number; readonly mode?: SlotMode; readonly order?: readonly number[] },
): SlotTimes {
  checkJobs(lengths, slots);
  const count = lengths.length;
  if (order.length !== count || new Set(order).size !== count || order.some((place) => !(place in lengths)))
    throw wrongSetting("slot schedule", "order", order, `each of the ${count} places once`);
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  const slotOf = new Int32Array(count);
  const free = new Float64Array(slots);
  for (const [position, place] of order.entries()) {
    if (mode === "waves" && position % slots === 0) free.fill(Math.max(...free));
    let slot = 0;
    if (mode === "waves") slot = position % slots;
    else for (let other = 1; other < slots; other++) if (free[other]! < free[slot]!) slot = other;
    starts[place] = free[slot]!;
    ends[place] = free[slot]! + lengths[place]!;
    free[slot] = ends[place]!;
    slotOf[place] = slot;
  }
  const makespan = ends.reduce((latest, end) => Math.max(latest, end), 0);
  const work = Array.from(lengths).reduce((sum, length) => sum + length, 0);
  return {
    starts,
    ends,
    slotOf,
    makespan,
    utilisation: makespan === 0 ? 1 : work / (slots * makespan),
    ...peaks(starts, ends),
  };
}

/** `places` in pieces of at most `size`. */
export function microGroups(places: readonly number[], size: number): readonly (readonly number[])[] {
  if (!Number.isInteger(size) || size < 1)
    throw wrongSetting("microGroups", "size", size, "an integer of at least 1");
  return Array.from({ length: Math.ceil(places.length / size) }, (_, k) =>
    places.slice(k * size, (k + 1) * size),
  );
}

/** Both peaks are at a moment just before some job ends. */
function peaks(starts: Float64Array, ends: Float64Array): Pick<SlotTimes, "peakJobs" | "peakTokens"> {
  let peakJobs = 0;
  let peakTokens = 0;
  for (const now of ends) {
    let jobs = 0;
    let tokens = 0;
    for (let i = 0; i < starts.length; i++) {
      if (!(starts[i]! < now && ends[i]! >= now)) continue;
      jobs++;
      tokens += now - starts[i]!;
    }
    peakJobs = Math.max(peakJobs, jobs);
    peakTokens = Math.max(peakTokens, tokens);
  }
  return { peakJobs, peakTokens };
}
