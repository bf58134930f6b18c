/**
 * @file Weighted sum: R = Σ_j w_j r_j, place by place.
 * Source: the scalarised reward of Optima (Chen et al., arXiv 2410.08115), R = task − λ_tok·tokens + λ_loss·readability.
 * Changed: terms may reward agents and calls too; values at the same place add up, others stay where they are.
 */

import type { RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { asLogged, byPlace, combination } from "./combine.ts";
import { isFailed } from "./failures.ts";
import { RewardDefinitionError, type RewardFunction, type RewardTerm } from "./reward.ts";
import { reward } from "./terms.ts";

/** A term, or a function of one episode where a key gives the name. */
export type TermOrFunction<Task> = RewardTerm<Task> | RewardFunction<Task>;

/** Without a weight: 1. */
export type WeightedTerms<Task> = Readonly<
  Record<string, TermOrFunction<Task> | readonly [weight: number, term: TermOrFunction<Task>]>
>;

/**
 * Each term is logged, unweighted, under its key.
 *
 * @example
 * const total = sum({ f1: ({ result, task }) => tokenF1(String(result), task.answer), format: [0.5, parsed("format")] });
 */
export function sum<Task = UntypedTask>(
  terms: WeightedTerms<Task>,
  { name = "sum" }: { readonly name?: string } = {},
): RewardTerm<Task> {
  const weighted = Object.entries(terms).map(([key, entry]) => {
    const [weight, term] = isPair(entry) ? entry : ([1, entry] as const);
    if (typeof weight !== "number" || !Number.isFinite(weight)) {
      throw new RewardDefinitionError({
        code: "E_REWARD_WEIGHT",
        message: `Term "${key}" of reward "${name}" has weight ${String(weight)}; it must be a finite number.`,
        hint: "write { f1: [1, term] }.",
      });
    }
    return { weight, term: named(key, term) };
  });
  return combination({
    name,
    parts: weighted.map(({ term }) => term),
    combine: (parts) => {
      const scaled = parts.flatMap((records, j) =>
        byPlace(name, records).map(
          (record): RewardRecord => ({ ...record, value: weighted[j]!.weight * record.value }),
        ),
      );
      return [...byPlace(name, scaled), ...parts.flatMap(asLogged)];
    },
  });
}

const isPair = <Task>(entry: WeightedTerms<Task>[string]): entry is readonly [number, TermOrFunction<Task>] =>
  Array.isArray(entry);

/** The term under another name; a function becomes a term. */
export function named<Task>(name: string, term: TermOrFunction<Task>): RewardTerm<Task> {
  if (typeof term === "function") return reward<Task>(name, term);
  if (typeof term !== "object" || term === null || typeof term.score !== "function") {
    throw new RewardDefinitionError({
      code: "E_REWARD_TERM",
      message: `Reward "${name}" is a ${term === null ? "null" : typeof term}, not a term or a function.`,
      hint: "pass what reward(…), judge(…) or a combinator returns, or (episode) => number.",
    });
  }
  if (term.name === name) return term;
  return {
    ...term,
    name,
    score: async (group, context) => {
      const scored = await term.score(group, context);
      return scored.map((one) =>
        isFailed(one)
          ? one
          : {
              rewards: one.rewards.map((record) =>
                record.name === term.name ? { ...record, name } : record,
              ),
            },
      );
    },
    ...(term.learn === undefined ? {} : { learn: (scored, context) => term.learn!(scored, context) }),
    ...(term.state === undefined ? {} : { state: () => term.state!() }),
    ...(term.restore === undefined ? {} : { restore: (state) => term.restore!(state) }),
  };
}
