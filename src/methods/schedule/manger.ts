/**
 * @file MANGER-style reuse: what is new within its group is gone through more often.
 *
 *   e_i = ‖f̂(o_i) − f(o_i)‖² (`random-distillation.ts`),  u_i = trunc(clip((e_i − mean e) / std e, 0, 3)), ddof 1
 *   extra pass k = 1, 2, …: the samples with u_i ≥ k, with ratios against the same ℓ_old
 *
 * Source: "MANGER" (arXiv 2412.15517) and its code, for value-based multi-agent learning: e of each agent at a time step,
 * and extra updates of the agents' heads alone. RECONSTRUCTED for language models: o is a frozen embedding of what was
 * observed or answered, the group is that of the method, and a sample is a call of the batch. CHOSEN: the embedding
 * (`text-embedding.ts`) and its width of 256. The code counts down before the pass, so that a sample has u − 1 passes with
 * a gradient, and the last pass has none: `form: "official code"`.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import { type DistillationSettings, randomDistillation } from "./random-distillation.ts";
import { extraPasses, type ReuseCountSettings, reuseCounts } from "./reuse-counts.ts";
import { textEmbedding } from "./text-embedding.ts";

export interface MangerSettings extends ReuseCountSettings, Omit<Partial<DistillationSettings>, "inputs"> {
  /** Numbers of a text's embedding. Default 256. */
  readonly embedding?: number;
  /** "paper": u extra passes; "official code": u − 1. Default "paper". */
  readonly form?: "paper" | "official code";
}

/** A call of a batch, and what is compared with it. */
export interface ReusedCall {
  readonly group: string;
  /** What was observed or answered. */
  readonly text: string;
}

export interface Manger {
  readonly name: string;
  readonly stage: "schedule";
  readonly settings: Readonly<Record<string, unknown>>;
  /** [calls] e. Pure. */
  novelties(calls: readonly ReusedCall[]): Float64Array;
  /** [passes] places of the calls that each extra epoch goes through, ascending. Pure. */
  extraEpochs(calls: readonly ReusedCall[]): readonly (readonly number[])[];
  /** Once a step: these are less new from now on. The mean of e before. */
  observe(calls: readonly ReusedCall[]): number;
  /** As JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

export const mangerCard: MethodCard = {
  name: "manger",
  title: "MANGER-style reuse",
  stage: "schedule",
  line: "goes through what is new within its group more often; take it where samples are few and alike",
  use: 'import { manger } from "troupe/methods"',
  formula: [
    "e_i = ‖f̂(o_i) − f(o_i)‖², f fixed and random, f̂ trained",
    "u_i = trunc(clip((e_i − mean e) / std e, 0, 3)); extra epoch k: the calls with u_i ≥ k",
  ],
  defaults: {
    ddof: { value: 1, source: "official code" },
    most: { value: 3, source: "official code" },
    epsilon: { value: 0, source: "CHOSEN" },
    form: { value: "paper", source: "paper" },
    embedding: { value: 256, source: "CHOSEN" },
    width: { value: 32, source: "official code" },
    learningRate: { value: 5e-4, source: "official code" },
    every: { value: 2, source: "official code" },
    seed: { value: 0, source: "CHOSEN" },
  },
  source: "MANGER, arXiv 2412.15517",
  notes: [
    "RECONSTRUCTED for language models: the original reuses samples of QMIX agents and updates their heads alone.",
    'The official code counts down before each extra pass, so u − 1 of them have a gradient: form "official code".',
  ],
};

/**
 * @throws MethodSettingsError
 * @example
 * const reuse = manger();
 * for (const places of reuse.extraEpochs(calls)) update(places.map((place) => calls[place]!));
 * reuse.observe(calls);
 */
export function manger(given: MangerSettings = {}): Manger {
  const { ddof = 1, most = 3, epsilon = 0, form = "paper", embedding = 256, ...others } = given;
  if (form !== "paper" && form !== "official code")
    throw wrongSetting("manger", "form", form, '"paper" or "official code"');
  reuseCounts([], { ddof, most, epsilon });
  const distillation = randomDistillation({ ...others, inputs: embedding });
  const { inputs, ...rest } = distillation.settings;
  const embed = (calls: readonly ReusedCall[]) => calls.map(({ text }) => textEmbedding(text, inputs));
  const novelties = (calls: readonly ReusedCall[]) =>
    Float64Array.from(embed(calls), (observation) => distillation.novelty(observation));
  return Object.freeze({
    name: "manger",
    stage: "schedule",
    settings: Object.freeze({ ddof, most, epsilon, form, embedding, ...rest }),
    novelties,
    extraEpochs(calls) {
      const all = novelties(calls);
      const groups = new Map<string, number[]>();
      for (const [place, { group }] of calls.entries())
        groups.set(group, [...(groups.get(group) ?? []), place]);
      const counts = new Int32Array(calls.length);
      for (const places of groups.values()) {
        const within = reuseCounts(
          places.map((place) => all[place]!),
          { ddof, most, epsilon },
        );
        for (const [i, place] of places.entries()) counts[place] = within[i]!;
      }
      return extraPasses(counts, form);
    },
    observe: (calls) => distillation.learn(embed(calls)),
    state: () => distillation.state(),
    restore: (state) => distillation.restore(state),
  } satisfies Manger);
}
