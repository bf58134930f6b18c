/**
 * @file Weights that follow learning speed: R = Σ_j w_j r_j with w_j ∝ e^{−s_j/τ}, where s_j is the slope of the term's mean
 * over the last steps. What already rises needs less weight than what stands still.
 * Source: DW-GRPO of Deep GraphRAG (arXiv 2601.11144). RECONSTRUCTED from a public summary; window and τ are CHOSEN.
 */

import type { UntypedTask } from "../workflow/workflow.ts";
import { asLogged, byPlace, combination, objectOf, partsState, restoreParts, wrongState } from "./combine.ts";
import { type Json, RewardDefinitionError, type RewardTerm } from "./reward.ts";
import { meanOf } from "./stages.ts";
import { named, type TermOrFunction } from "./sum.ts";

export interface DynamicWeightsOptions {
  /** Default "weighted". */
  readonly name?: string;
  /** Steps that a slope is taken over, at least 2. Default 10. */
  readonly window?: number;
  /** τ > 0, in reward a step: a term that rises by τ a step more than another weighs 1/e of it. Default 0.02. */
  readonly temperature?: number;
  /** Term → mean from which on it is as good as it gets: it then stands still without needing weight, and gets none. */
  readonly ceilings?: Readonly<Record<string, number>>;
}

/** Least-squares slope of values that are one step apart; 0 of fewer than two. */
export function slopeOf(values: readonly number[]): number {
  const n = values.length;
  if (n < 2) return 0;
  const middle = (n - 1) / 2;
  let products = 0;
  let squares = 0;
  for (const [i, value] of values.entries()) {
    products += (i - middle) * value;
    squares += (i - middle) ** 2;
  }
  return products / squares;
}

/**
 * Weights that sum to 1, from the means of each term over the last steps.
 * @param means [terms][steps]
 * @param ceilings [terms] undefined: none
 */
export function learningSpeedWeights(
  means: readonly (readonly number[])[],
  temperature: number,
  ceilings: readonly (number | undefined)[] = [],
): number[] {
  const slopes = means.map(slopeOf);
  const done = means.map((values, j) => {
    const ceiling = ceilings[j];
    const newest = values.at(-1);
    return ceiling !== undefined && newest !== undefined && newest >= ceiling;
  });
  // If everything is at its ceiling, nothing tells the terms apart.
  if (done.every(Boolean)) return means.map(() => 1 / means.length);
  const least = Math.min(...slopes.filter((_, j) => !done[j]));
  const raw = slopes.map((slope, j) => (done[j] ? 0 : Math.exp(-(slope - least) / temperature)));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}

/**
 * The weights of a step come from the steps before it, so that all groups of a step are weighed the same; they are equal
 * until there are two steps to compare. Logged as `<name>.<term>`.
 *
 * @example
 * const reward = dynamicWeights({ relevance, faithfulness, brevity }, { ceilings: { brevity: 0.95 } });
 */
export function dynamicWeights<Task = UntypedTask>(
  terms: Readonly<Record<string, TermOrFunction<Task>>>,
  { name = "weighted", window = 10, temperature = 0.02, ceilings = {} }: DynamicWeightsOptions = {},
): RewardTerm<Task> {
  const parts = Object.entries(terms).map(([key, term]) => named(key, term));
  const unknown = Object.keys(ceilings).filter((key) => !Object.hasOwn(terms, key));
  if (!(Number.isInteger(window) && window >= 2 && temperature > 0) || unknown.length > 0) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" has window ${window} and temperature ${temperature}${
        unknown.length === 0 ? "" : `, and ceilings of terms that it does not have (${unknown.join(", ")})`
      }; the window must be an integer of at least 2, the temperature above 0.`,
    });
  }
  let means: readonly (readonly number[])[] = parts.map(() => []);
  const limits = parts.map((part) => ceilings[part.name]);

  return {
    ...combination<Task>({
      name,
      parts,
      combine: (records) => {
        const weights = learningSpeedWeights(means, temperature, limits);
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
    },
    state: (): Json => ({ means, parts: partsState(parts) }),
    restore(saved) {
      const { means: known, parts: inner } = objectOf(name, saved);
      const rows = Array.isArray(known) ? (known as readonly Json[]) : [];
      if (rows.length !== parts.length || !rows.every(isNumbers)) throw wrongState(name);
      restoreParts(name, parts, inner ?? null);
      means = rows as readonly (readonly number[])[];
    },
  };
}

const isNumbers = (value: Json): boolean =>
  Array.isArray(value) && (value as readonly Json[]).every((item) => Number.isFinite(item));
