/** @file Which waiting requests are prefilled next, and together with what. */

import type { PrefixMatch, RowTable } from "./rows.ts";
import { sharedPrefix, shortestReuse } from "./rows.ts";
import type { Sequence } from "./sequence.ts";

/** Requests with one prompt. `match` is where its beginning already is. */
export interface Unit {
  readonly prompt: Int32Array;
  readonly members: Sequence[];
  readonly match: PrefixMatch | null;
}

/** Where a prompt's own run begins: its last token is always run, because its hidden state is needed. */
export const startOf = ({ match, prompt }: Unit): number => Math.min(match?.length ?? 0, prompt.length - 1);

/** Gathers requests by prompt, in the order in which they came. */
export function gatherUnits(waiting: readonly Sequence[], rows: RowTable): Unit[] {
  const units: Unit[] = [];
  for (const sequence of waiting) {
    const { prompt } = sequence.request;
    const same = units.find(
      (unit) => unit.prompt.length === prompt.length && sharedPrefix(unit.prompt, prompt) === prompt.length,
    );
    if (same) same.members.push(sequence);
    else units.push({ prompt, members: [sequence], match: rows.longestPrefix(prompt) });
  }
  return units;
}

/**
 * The first unit and those after it that fit into one right-padded run with it, of at most
 * `tokens` tokens with padding.
 */
export function unitsOfOneRun(units: readonly Unit[], tokens: number): Unit[] {
  const chosen: Unit[] = [];
  let longest = 0;
  let real = 0;
  for (const unit of units) {
    const { length } = unit.prompt;
    const width = Math.max(longest, length);
    const padded = width * (chosen.length + 1);
    const littlePadding = padded <= 1.3 * (real + length) + 64;
    const fits = startOf(unit) === 0 && padded <= tokens && littlePadding;
    if (chosen.length > 0 && !fits) continue;
    // What shares a long beginning with one of this run is cheaper after it.
    if (chosen.some((other) => sharedPrefix(other.prompt, unit.prompt) >= shortestReuse)) continue;
    chosen.push(unit);
    longest = width;
    real += length;
  }
  return chosen;
}

/** Sequences that can draw from one row of a distribution: those of equal temperature. */
export function byTemperature(sequences: readonly Sequence[]): Sequence[][] {
  const groups = new Map<number, Sequence[]>();
  for (const sequence of sequences) {
    const { inverseTemperature } = sequence.rules;
    const group = groups.get(inverseTemperature);
    if (group) group.push(sequence);
    else groups.set(inverseTemperature, [sequence]);
  }
  return [...groups.values()];
}
