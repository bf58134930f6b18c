/**
 * @file How token losses become one number: the weight of each token. Normalisers are those of the whole batch of a
 * policy, so that cutting it into microbatches changes nothing.
 */

import { MethodSettingsError } from "./errors.ts";
import type { BatchTotals } from "./method.ts";

/** Closed. */
export type Aggregation =
  /** Σ m·L / T: every token weighs the same (DAPO). */
  | "token-mean"
  /** Mean over sequences of their token mean: every sequence weighs the same (DeepSeekMath). */
  | "sequence-mean"
  /** Mean over sequences of their token sum. */
  | "sequence-sum"
  /** Mean over sequences of their token sum divided by a constant, such as the longest output allowed (Dr. GRPO). */
  | { readonly constant: number };

/** w_t of a token in a sequence of `length` scored tokens. */
export function tokenWeight(
  aggregation: Aggregation,
  length: number,
  { tokens, sequences }: BatchTotals,
): number {
  if (aggregation === "token-mean") return 1 / tokens;
  if (aggregation === "sequence-mean") return 1 / (sequences * length);
  if (aggregation === "sequence-sum") return 1 / sequences;
  return 1 / (sequences * aggregation.constant);
}

export function checkAggregation(aggregation: Aggregation): void {
  if (
    typeof aggregation === "object"
      ? aggregation.constant > 0
      : /^(token|sequence)-mean$|^sequence-sum$/.test(aggregation)
  ) {
    return;
  }
  throw new MethodSettingsError({
    code: "E_AGGREGATION",
    message: `Unknown aggregation ${JSON.stringify(aggregation)}.`,
    hint: 'use "token-mean", "sequence-mean", "sequence-sum" or { constant: 512 }.',
  });
}
