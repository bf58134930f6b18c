/**
 * @file Weights that follow learning speed: R = Σ_j w_j r_j with w = softmax(−s_j / (T · max_k |s_k|)), s_j the slope of the
 * term's mean over the last steps, and w ← η w + (1 − η) w_new. What already rises needs less weight than what stands still.
 * Source: DW-GRPO of Deep GraphRAG (arXiv 2601.11144). RECONSTRUCTED from public summaries and two re-implementations, which
 * agree on the softmax of negative slopes and on nothing else. CHOSEN: window 5, T 1, η 0.8, equal weights until the
 * window is full. `slopes: "absolute"` is e^{−s_j/T} without the scale, as in another summary.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { asLogged, byPlace, combination, objectOf, partsState, restoreParts, wrongState } from "./combine.ts";
import { type LearningSpeedOptions, learningSpeedDefaults, learningSpeedWeights } from "./learning-speed.ts";
import { type Json, RewardDefinitionError, type RewardTerm } from "./reward.ts";
import { meanOf } from "./stages.ts";
import { named, type TermOrFunction } from "./sum.ts";

const defaults = { ...learningSpeedDefaults, window: 5, momentum: 0.8 } as const;

export interface DynamicWeightsOptions extends LearningSpeedOptions {
  /** Default "weighted". */
  readonly name?: string;
  /** Steps that a slope is taken over, at least 2. Default 5. */
  readonly window?: number;
  /** η in [0, 1): how much of the weights stays from step to step. Default 0.8. */
  readonly momentum?: number;
  /** Term → mean from which on it is as good as it gets: it then stands still without needing weight, and none is added. */
  readonly ceilings?: Readonly<Record<string, number>>;
}

/**
 * The weights of a step come from the steps before it, so that all groups of a step are weighed the same; they are equal
 * until the window is full. They sum to 1, and are logged as `<name>.<term>`.
 * @throws RewardDefinitionError
 *
 * @example
 * const reward = dynamicWeights({ relevance, faithfulness, brevity }, { ceilings: { brevity: 0.95 } });
 */
export function dynamicWeights<Task = UntypedTask>(
  terms: Readonly<Record<string, TermOrFunction<Task>>>,
  {
    name = "weighted",
    window = defaults.window,
    momentum = defaults.momentum,
    ceilings = {},
    ...speed
  }: DynamicWeightsOptions = {},
): RewardTerm<Task> {
  const parts = Object.entries(terms).map(([key, term]) => named(key, term));
  const { temperature = defaults.temperature } = speed;
  const unknown = Object.keys(ceilings).filter((key) => !Object.hasOwn(terms, key));
  const known = Number.isInteger(window) && window >= 2 && temperature > 0 && momentum >= 0 && momentum < 1;
  if (!known || unknown.length > 0) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" has window ${window}, temperature ${temperature} and momentum ${momentum}${
        unknown.length === 0 ? "" : `, and ceilings of terms that it does not have (${unknown.join(", ")})`
      }; the window must be an integer of at least 2, the temperature above 0, the momentum at least 0 and below 1.`,
    });
  }
  const limits = parts.map((part) => ceilings[part.name]);
  let means: readonly (readonly number[])[] = parts.map(() => []);
  let weights: readonly number[] = parts.map(() => 1 / parts.length);

  return {
    ...combination<Task>({
      name,
      parts,
      combine: (records) => {
        const scaled = records.flatMap((own, j) =>
          byPlace(name, own).map((record) => ({ ...record, value: weights[j]! * record.value })),
        );
        return [
          ...byPlace(name, scaled),
          ...records.flatMap(asLogged),
          ...parts.map((part, j) => ({
            name: `${name}.${part.name}`,
            value: weights[j]!,
            logged: true as const,
          })),
        ];
      },
    }),
    learn(scored, context) {
      for (const part of parts) part.learn?.(scored, context);
      means = means.map((values, j) => {
        const mean = meanOf(parts[j]!.name, scored);
        return mean === undefined ? values : [...values, mean].slice(-window);
      });
      if (means.some((values) => values.length < window)) return;
      const wanted = learningSpeedWeights(means, speed, limits);
      weights = weights.map((weight, j) => momentum * weight + (1 - momentum) * wanted[j]!);
    },
    state: (): Json => ({ means, weights, parts: partsState(parts) }),
    restore(saved) {
      const { means: kept, weights: held, parts: inner } = objectOf(name, saved);
      const rows = Array.isArray(kept) ? (kept as readonly Json[]) : [];
      if (rows.length !== parts.length || ![...rows, held].every(isNumbers)) throw wrongState(name);
      if ((held as readonly Json[]).length !== parts.length) throw wrongState(name);
      restoreParts(name, parts, inner ?? null);
      means = rows as readonly (readonly number[])[];
      weights = held as readonly number[];
    },
  };
}

const isNumbers = (value: Json | undefined): boolean =>
  Array.isArray(value) && (value as readonly Json[]).every((item) => Number.isFinite(item));

export const dynamicWeightsCard: MethodCard = {
  name: "dynamic-weights",
  title: "Learning-speed weights (DW-GRPO)",
  stage: "reward",
  line: "a sum of rewards whose weights follow learning speed: what stands still gains weight, what rises loses it",
  use: 'import { dynamicWeights } from "troupe/rewards"',
  formula: [
    "s_j = least-squares slope of the step means of r_j over the window",
    "w_new = softmax(−s_j / (T · max_k |s_k|)), w ← η w + (1 − η) w_new",
    "R = Σ_j w_j r_j",
  ],
  defaults: {
    window: { value: defaults.window, source: "CHOSEN; re-implementations have 4 and 5" },
    temperature: { value: defaults.temperature, source: "CHOSEN; re-implementations have 1 and 2" },
    momentum: { value: defaults.momentum, source: "a re-implementation" },
    slopes: { value: defaults.slopes, source: "RECONSTRUCTED" },
  },
  source: "DW-GRPO of Deep GraphRAG, arXiv 2601.11144",
  notes: [
    "RECONSTRUCTED from public summaries.",
    "CHOSEN: equal weights until the window is full; ceilings.",
  ],
};
