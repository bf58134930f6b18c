/**
 * @file Advantages of TreeRPO (arXiv 2506.05183): each set of siblings is a group, and a segment's advantage applies to
 * that segment's tokens only: A = (V − mean of siblings) / norm. The normaliser is RECONSTRUCTED, so the default is none.
 */

import { LossError } from "../errors.ts";
import { leastSpread } from "./standardise.ts";

export interface SiblingAdvantage {
  /**
   * "none": 1. "deviation": population standard deviation of the siblings. "bernoulli": √(μ(1 − μ)), for values in
   * [0, 1]. Default "none".
   */
  readonly norm?: "none" | "deviation" | "bernoulli";
}

export interface SiblingAdvantages {
  /** [n] */
  readonly advantages: readonly number[];
  /** [n] false where all siblings are worth the same, an only child included: such segments are dropped from training. */
  readonly hasSignal: readonly boolean[];
}

/**
 * @param parents [n] −1 = root
 * @param values [n] of `childMeans`
 * @throws LossError for a value outside [0, 1] under "bernoulli".
 */
export function siblingAdvantages(
  parents: readonly number[],
  values: readonly number[],
  { norm = "none" }: SiblingAdvantage = {},
): SiblingAdvantages {
  const families = new Map<number, number[]>();
  parents.forEach((parent, node) => {
    const known = families.get(parent);
    if (known === undefined) families.set(parent, [node]);
    else known.push(node);
  });
  const advantages = values.map(() => 0);
  const hasSignal = values.map(() => false);
  for (const siblings of families.values()) {
    const mean = siblings.reduce((sum, node) => sum + values[node]!, 0) / siblings.length;
    const squares = siblings.reduce((sum, node) => sum + (values[node]! - mean) ** 2, 0);
    const deviation = Math.sqrt(squares / siblings.length);
    if (!(deviation >= leastSpread)) continue;
    if (norm === "bernoulli") checkRange(siblings, values);
    const scale = norm === "none" ? 1 : norm === "deviation" ? deviation : Math.sqrt(mean * (1 - mean));
    for (const node of siblings) {
      hasSignal[node] = true;
      advantages[node] = (values[node]! - mean) / scale;
    }
  }
  return { advantages, hasSignal };
}

function checkRange(siblings: readonly number[], values: readonly number[]): void {
  const outside = siblings.find((node) => !(values[node]! >= 0 && values[node]! <= 1));
  if (outside === undefined) return;
  throw new LossError({
    code: "E_REWARD_RANGE",
    message: `Node ${outside} has the value ${values[outside]}; the Bernoulli norm √(μ(1 − μ)) takes values from 0 to 1.`,
    hint: 'use norm "none" or "deviation".',
    facts: { node: outside, value: values[outside] },
  });
}
