/**
 * @file Whitening over a policy's whole batch, after the group's advantages: A ← (A − mean) / √(var + ε), over all sampled
 * tokens of the policy together ("model"), or apart by agent, or by agent and turn.
 *
 * Source: UnityMAS-O (arXiv 2605.26646), whose group is the physical model: roles, turns and tasks mixed wherever they
 * share weights; variance with n − 1, ε = 1e-8 (verl).
 */

import type { MethodCard } from "../card.ts";
import type { TokenWeight } from "../parts.ts";
import { type BatchScope, checkBatchScope, whiten } from "../whiten.ts";

export interface WhitenedSettings {
  /** Whose tokens are normalised together. Default "model". */
  readonly scope?: Exclude<BatchScope, "none">;
  /** Default 1 (UnityMAS-O, verl). */
  readonly ddof?: 0 | 1;
  /** Added to the variance. Default 1e-8 (verl). */
  readonly epsilon?: number;
}

export function whitened({ scope = "model", ddof = 1, epsilon = 1e-8 }: WhitenedSettings = {}): TokenWeight {
  checkBatchScope("whitened", "scope", scope);
  return Object.freeze({
    stage: "token weight",
    name: "whitened",
    settings: { scope, ddof, epsilon },
    // The mean moves calls whose advantage was 0.
    needs: { tokensWithoutAdvantage: true },
    apply: (advantages, batch) => whiten(advantages, batch, { scope, ddof, epsilon }),
  } satisfies TokenWeight);
}

export const whitenedCard: MethodCard = {
  name: "whitened",
  title: "Whitening over the batch",
  stage: "token weight",
  line: "normalises the advantages of all tokens of one model (or agent, or turn) together",
  use: 'import { whitened } from "troupe/methods"',
  formula: ["A ← (A − mean) / √(var + ε) over all sampled tokens of the policy's batch"],
  defaults: {
    scope: { value: "model", source: "UnityMAS-O" },
    ddof: { value: 1, source: "UnityMAS-O, verl" },
    epsilon: { value: 1e-8, source: "verl" },
  },
  source: "UnityMAS-O (arXiv 2605.26646)",
};
