/**
 * @file An approximation scheme for the shortest makespan on m slots, with a proof of how good its plan is.
 *
 *   LB = max(max l, Σ l / m),  δ = ε LB / n,  l'_i = floor(l_i / δ)
 *   exact dynamic programme over the sorted vectors of rounded loads  ⇒  makespan ≤ OPT + n δ ≤ (1 + ε) OPT
 *
 * Each rounded length is less than δ too short and a slot has at most n of them, so a slot's true load is at most its
 * rounded one plus n δ = ε LB ≤ ε OPT; and the rounded optimum is not above OPT.
 *
 * Source: Wang et al., "Infinite Sampling" (arXiv 2506.22950) plans with such a scheme; its details are RECONSTRUCTED. The
 * scheme for a fixed number of machines is Sahni's, "Algorithms for scheduling independent tasks" (1976). CHOSEN: longest
 * first is taken at once where it is proven good enough, it bounds the programme from above, and it is what remains where
 * the programme would have more than `maxStates` states.
 */

import { wrongSetting } from "../errors.ts";
import { checkJobs, orderByLength, simulateSlots } from "./slot-schedule.ts";

export interface MakespanPlan {
  /** [n] the slot of each job. */
  readonly slotOf: Int32Array;
  /** Largest load of a slot. */
  readonly makespan: number;
  /** Proven: makespan ≤ guarantee · OPT. At most 1 + ε, unless the programme was too large. */
  readonly guarantee: number;
  /** Where the plan comes from. */
  readonly from: "longest first" | "dynamic programme";
}

export interface MakespanSettings {
  readonly slots: number;
  /** ε. Default 0.1 (CHOSEN). */
  readonly epsilon?: number;
  /** Of one stage of the programme. Default 100 000 (CHOSEN: under a second). */
  readonly maxStates?: number;
}

interface State {
  /** Ascending. */
  readonly loads: readonly number[];
  readonly before: State | undefined;
  /** Which of the ascending loads of `before` the job was put on. */
  readonly grew: number;
}

/**
 * @param lengths [n] tokens of each job.
 * @throws MethodSettingsError if a length, `slots`, ε or `maxStates` makes no sense.
 */
export function planMakespan(
  lengths: ArrayLike<number>,
  { slots, epsilon = 0.1, maxStates = 100_000 }: MakespanSettings,
): MakespanPlan {
  checkJobs(lengths, slots);
  if (!(epsilon > 0 && Number.isFinite(epsilon)))
    throw wrongSetting("makespan plan", "epsilon", epsilon, "a finite number above 0");
  if (!Number.isInteger(maxStates) || maxStates < 1)
    throw wrongSetting("makespan plan", "maxStates", maxStates, "an integer of at least 1");
  const all = Array.from(lengths);
  const longest = orderByLength(all, "longest");
  const { slotOf, makespan } = simulateSlots(all, { slots, order: longest });
  const total = all.reduce((sum, length) => sum + length, 0);
  const least = Math.max(total / slots, ...all, 0);
  const ratio = least === 0 ? 1 : makespan / least;
  const greedy = { slotOf, makespan, guarantee: ratio, from: "longest first" } as const;
  if (ratio <= 1 + epsilon) return greedy;

  const delta = (epsilon * least) / all.length;
  const rounded = longest.map((place) => Math.floor(all[place]! / delta));
  const roundedLoads = new Float64Array(slots);
  for (const [i, place] of longest.entries()) roundedLoads[slotOf[place]!]! += rounded[i]!;
  const best = bestLoads(rounded, slots, Math.max(...roundedLoads), maxStates);
  if (best === "too many") return greedy;
  const proven = Math.min(ratio, 1 + epsilon);
  // No loads below those of longest first: it is the optimum of the rounded lengths itself.
  if (best === undefined) return { ...greedy, guarantee: proven };
  const found = slotsOf(best, longest, rounded, slots);
  const loads = new Float64Array(slots);
  for (const [place, slot] of found.entries()) loads[slot]! += all[place]!;
  const planned = Math.max(...loads);
  if (planned >= makespan) return { ...greedy, guarantee: proven };
  return {
    slotOf: found,
    makespan: planned,
    guarantee: Math.min(1 + epsilon, planned / least),
    from: "dynamic programme",
  };
}

/**
 * [n] places by planned start, the shorter first where starts are equal. Within a slot the longest comes first (CHOSEN), so
 * that a job that takes longer than was said does not do so at the end.
 */
export function plannedOrder(lengths: readonly number[], settings: MakespanSettings): readonly number[] {
  const { slotOf } = planMakespan(lengths, settings);
  const loads = new Float64Array(settings.slots);
  const starts = new Float64Array(lengths.length);
  for (const place of orderByLength(lengths, "longest")) {
    starts[place] = loads[slotOf[place]!]!;
    loads[slotOf[place]!]! += lengths[place]!;
  }
  return orderByLength(lengths, "shortest").sort((a, b) => starts[a]! - starts[b]!);
}

/** The state with the smallest largest load below `limit`; undefined if there is none. */
function bestLoads(
  rounded: readonly number[],
  slots: number,
  limit: number,
  maxStates: number,
): State | undefined | "too many" {
  const first: State = { loads: new Array<number>(slots).fill(0), before: undefined, grew: 0 };
  let stage = new Map<string, State>([["", first]]);
  for (const length of rounded) {
    const next = new Map<string, State>();
    for (const state of stage.values()) {
      for (let slot = 0; slot < slots; slot++) {
        const { loads } = state;
        if (loads[slot]! + length >= limit) break;
        if (slot > 0 && loads[slot] === loads[slot - 1]) continue;
        const grown = loads.with(slot, loads[slot]! + length).sort((a, b) => a - b);
        const name = grown.join();
        if (!next.has(name)) next.set(name, { loads: grown, before: state, grew: slot });
      }
      if (next.size > maxStates) return "too many";
    }
    stage = next;
  }
  let best: State | undefined;
  for (const state of stage.values())
    if (best === undefined || state.loads.at(-1)! < best.loads.at(-1)!) best = state;
  return best;
}

/** Goes through the states again: sorting moved the loads, the slots stay where they are. */
function slotsOf(
  end: State,
  order: readonly number[],
  rounded: readonly number[],
  slots: number,
): Int32Array {
  const grown: number[] = [];
  for (let state = end; state.before !== undefined; state = state.before) grown.unshift(state.grew);
  const slotOf = new Int32Array(order.length);
  let named = Array.from({ length: slots }, (_, slot) => ({ slot, load: 0 }));
  for (const [i, at] of grown.entries()) {
    slotOf[order[i]!] = named[at]!.slot;
    // Where loads are equal it does not matter which of them grows.
    named = named
      .map(({ slot, load }, place) => ({ slot, load: place === at ? load + rounded[i]! : load }))
      .sort((a, b) => a.load - b.load);
  }
  return slotOf;
}
