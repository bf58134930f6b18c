/**
 * @file Whitening over a policy's whole batch: A ← (A − mean) / √(var + ε), over all sampled tokens together or apart by
 * agent, or by agent and turn. "model" is what UnityMAS-O does (arXiv 2605.26646): roles, turns and tasks mixed wherever
 * they share weights. Apart by agent: Dr. MAS (the shared deviation destabilises teams); by agent and turn: AT-GRPO.
 */

import { wrongSetting } from "./errors.ts";
import type { BatchCall } from "./method.ts";

/** Whose tokens are normalised together. Closed. */
export type BatchScope = "none" | "model" | "agent" | "agent-turn";

export interface WhitenSettings {
  readonly scope: BatchScope;
  /** Degrees of freedom taken off in the variance. Default 1 (UnityMAS-O, verl). */
  readonly ddof?: 0 | 1;
  /** Added to the variance. Default 1e-8 (verl). */
  readonly epsilon?: number;
}

type Place = Pick<BatchCall, "agent" | "occurrence"> & Partial<Pick<BatchCall, "scope">>;

/** [calls][length] whitened copies. A scope with a single token, or without variance, becomes zeros. */
export function whiten(
  advantages: readonly Float32Array[],
  batch: readonly Place[],
  { scope, ddof = 1, epsilon = 1e-8 }: WhitenSettings,
): readonly Float32Array[] {
  if (scope === "none") return advantages;
  const nameOf = ({ scope: child = "", agent, occurrence }: Place) =>
    scope === "model" ? "" : scope === "agent" ? agent : JSON.stringify([child, agent, occurrence]);
  const sums = new Map<string, { count: number; sum: number; squares: number; mean: number }>();
  const of = (index: number) => {
    const name = nameOf(batch[index]!);
    let found = sums.get(name);
    if (found === undefined) {
      found = { count: 0, sum: 0, squares: 0, mean: 0 };
      sums.set(name, found);
    }
    return found;
  };
  for (const [index, values] of advantages.entries()) {
    const total = of(index);
    total.count += values.length;
    for (const value of values) total.sum += value;
  }
  for (const total of sums.values()) total.mean = total.sum / total.count;
  // In two passes: the difference of large squares would lose what the deviation is made of.
  for (const [index, values] of advantages.entries()) {
    const total = of(index);
    for (const value of values) total.squares += (value - total.mean) ** 2;
  }
  return advantages.map((values, index) => {
    const { count, squares, mean } = of(index);
    const variance = count > ddof ? squares / (count - ddof) : 0;
    // Without spread there is nothing to compare; dividing float noise by √ε would make an advantage of it.
    if (variance < 1e-12) return new Float32Array(values.length);
    const scale = 1 / Math.sqrt(variance + epsilon);
    return values.map((value) => (value - mean) * scale);
  });
}

export function checkBatchScope(method: string, name: string, scope: BatchScope): void {
  const scopes: readonly BatchScope[] = ["none", "model", "agent", "agent-turn"];
  if (!scopes.includes(scope)) throw wrongSetting(method, name, scope, `one of ${scopes.join(", ")}`);
}
