/**
 * @file Infinite Sampling: a group is sampled on m slots instead of G, so that keys and values take m rows, not G.
 *
 *   micro groups:  G episodes in waves of m that share one prompt's keys and values   (mode "waves")
 *   continuous:    the next episode starts when one ends                              (mode "continuous", the default)
 *   length-aware:  l̂ predicted, slots planned for the shortest makespan (≤ (1 + ε) OPT for l̂), started as planned
 *
 * Episodes that start as the plan's starts are ordered, each on whichever slot is free, start no later than planned: when
 * episode i is due, those before it that still run were due earlier and still run in the plan too, on other slots than
 * i's. Hence the plan's bound holds at run time without naming slots, as far as predictions are right.
 *
 * Source: Wang et al., "Infinite Sampling: Efficient and Stable Grouped RL Training" (arXiv 2506.22950); read as abstract
 * and reviews, details RECONSTRUCTED. CHOSEN: `order: "plan"` starts episodes as planned and lets the shorter go first
 * where starts are equal; the paper refills with the shortest predicted (`order: "shortest"`), which can be worse than
 * order of arrival: 160 against 150 for lengths 100, 20, 90, 20, 40, 30 on two slots. The predictor is CHOSEN too.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import { type LengthPredictor, runningQuantile } from "./length-predictor.ts";
import { plannedOrder } from "./makespan-plan.ts";
import type { EpisodeSchedule } from "./run-schedule.ts";
import { checkJobs, microGroups, orderByLength, type SlotMode, simulateSlots } from "./slot-schedule.ts";

export interface InfiniteSamplingSettings {
  /** m, episodes in flight. Default 4. */
  readonly slots?: number;
  /** Default "continuous". */
  readonly mode?: SlotMode;
  /** Which episodes of a group come first. Default "plan"; with waves, longest first means waves of like lengths. */
  readonly order?: "plan" | "arrival" | "shortest" | "longest";
  /** ε of the plan. Default 0.1. */
  readonly epsilon?: number;
  /** "group": groups one after another, so that their prompts are too; "step": all episodes in one plan. Default "group". */
  readonly scope?: "group" | "step";
  /** Default `runningQuantile()`. */
  readonly predictor?: LengthPredictor;
}

/** An episode to be sampled. Its place among the requests, or the slot it gets, must be in no random key. */
export interface EpisodeRequest {
  readonly task: string;
  /** Which group of the step. Default: that of its task. */
  readonly group?: number;
  /** Tokens that it has sampled already, if it goes on. Default 0. */
  readonly generated?: number;
}

export interface PlannedSchedule extends EpisodeSchedule {
  /** [n] tokens still to be sampled, as predicted. */
  readonly predicted: Float64Array;
  /** With those lengths. */
  readonly makespan: number;
}

export interface InfiniteSampling {
  readonly name: string;
  readonly stage: "schedule";
  readonly settings: Readonly<Record<string, unknown>>;
  /** Pure. */
  schedule(requests: readonly EpisodeRequest[]): PlannedSchedule;
  /** Once a step: the lengths that episodes came to. */
  observe(seen: readonly { readonly task: string; readonly length: number }[]): void;
  /** As JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

export const infiniteSamplingCard: MethodCard = {
  name: "infinite-sampling",
  title: "Infinite Sampling",
  stage: "schedule",
  line: "samples large groups on few slots, planned by predicted length; take it where keys and values fill the memory",
  use: 'import { infiniteSampling } from "troupe/methods"',
  formula: [
    "slots m < G; peak of keys and values ∝ m",
    "LB = max(max l̂, Σ l̂ / m), δ = ε LB / n, exact plan of floor(l̂ / δ): makespan ≤ (1 + ε) OPT",
  ],
  defaults: {
    slots: { value: 4, source: "CHOSEN" },
    mode: { value: "continuous", source: "paper" },
    order: { value: "plan", source: "CHOSEN: the paper refills with the shortest predicted" },
    epsilon: { value: 0.1, source: "CHOSEN" },
    scope: { value: "group", source: "paper" },
  },
  source: "Wang et al., Infinite Sampling, arXiv 2506.22950",
  notes: [
    "Read as abstract and reviews: the approximation scheme is RECONSTRUCTED.",
    "CHOSEN: a running quantile per task predicts lengths, where the paper has a BERT regressor.",
  ],
};

/**
 * @throws MethodSettingsError
 * @example
 * const sampling = infiniteSampling({ slots: 4 });
 * const plan = sampling.schedule(requests);
 * const results = await runInSchedule(plan, (place) => sample(requests[place]!));
 */
export function infiniteSampling(given: InfiniteSamplingSettings = {}): InfiniteSampling {
  const { predictor = runningQuantile(), ...rest } = given;
  const settings = {
    slots: 4,
    mode: "continuous",
    order: "plan",
    epsilon: 0.1,
    scope: "group",
    ...rest,
  } as const;
  const { slots, mode, order, epsilon, scope } = settings;
  if (!Number.isInteger(slots) || slots < 1)
    throw wrongSetting("infiniteSampling", "slots", slots, "an integer of at least 1");
  if (!(epsilon > 0 && Number.isFinite(epsilon)))
    throw wrongSetting("infiniteSampling", "epsilon", epsilon, "a finite number above 0");
  for (const [name, allowed] of Object.entries({
    mode: ["waves", "continuous"],
    order: ["plan", "arrival", "shortest", "longest"],
    scope: ["group", "step"],
  })) {
    const value = settings[name as "mode" | "order" | "scope"];
    if (!allowed.includes(value)) throw wrongSetting("infiniteSampling", name, value, allowed.join(" or "));
  }
  const orderOf = (lengths: readonly number[]): readonly number[] => {
    if (order !== "plan") return orderByLength(lengths, order);
    // Waves have no plan of slots: like lengths together is the best they can do.
    return mode === "waves" ? orderByLength(lengths, "longest") : plannedOrder(lengths, { slots, epsilon });
  };
  const schedule = (requests: readonly EpisodeRequest[]): PlannedSchedule => {
    const predicted = Float64Array.from(requests, (one) => predictor.predict(one) - (one.generated ?? 0));
    checkJobs(predicted, slots);
    const parts = new Map<unknown, number[]>();
    for (const [place, { task, group }] of requests.entries()) {
      const name = scope === "step" ? "" : (group ?? task);
      parts.set(name, [...(parts.get(name) ?? []), place]);
    }
    const ordered = [...parts.values()].map((places) =>
      orderOf(places.map((place) => predicted[place]!)).map((at) => places[at]!),
    );
    const all = ordered.flat();
    if (mode === "continuous")
      return {
        order: all,
        slots,
        predicted,
        makespan: simulateSlots(predicted, { slots, order: all }).makespan,
      };
    const waves = ordered.flatMap((places) => microGroups(places, slots));
    const longest = waves.map((wave) => Math.max(...wave.map((place) => predicted[place]!)));
    return { order: all, slots, waves, predicted, makespan: longest.reduce((sum, one) => sum + one, 0) };
  };
  return Object.freeze({
    name: "infinite-sampling",
    stage: "schedule",
    settings: Object.freeze({ ...settings, predictor: predictor.settings }),
    schedule,
    observe: (seen) => predictor.observe(seen),
    state: () => predictor.state(),
    restore: (state) => predictor.restore(state),
  } satisfies InfiniteSampling);
}
