/**
 * @file GRPO: group-relative policy optimisation.
 *
 * For G episodes of one task with rewards R_i: A_i = (R_i − mean R) / (std R + ε), the same for every token of every
 * call of episode i. With ρ_t = exp(ℓ_t − ℓ_old,t):
 *
 *   L = Σ_t w_t · [ max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)) + β (e^{d_t} − d_t − 1) − η H_t ],  d_t = ℓ_ref,t − ℓ_t
 *   ∂L/∂ℓ_t = w_t · [ −A ρ_t where the first branch is the larger, else 0 ] + β w_t (1 − e^{d_t}),   ∂L/∂H_t = −η w_t
 *
 * d is that of k3, the default; k2 is the other choice here (`kl.ts`). With KL in the reward there is none in L, and A of
 * a token is A_i − β Σ_{u ≥ t} (ℓ_old,u − ℓ_ref,u): the penalties of it and the tokens of the call after it (CHOSEN: after
 * the group's normalisation, so that β means the same whatever the rewards' spread).
 *
 * w_t is 1/T (token-mean), 1/(N·len) (sequence-mean), 1/N (sequence-sum) or 1/(N·c) (constant), over the whole batch.
 *
 * Source: Shao et al., "DeepSeekMath" (arXiv 2402.03300), eqs. 3–4; k3 estimator of the KL: Schulman, "Approximating KL
 * divergence" (2020); token-mean and ε_high: Yu et al., "DAPO" (2503.14476); constant and no std: Liu et al., "Dr. GRPO"
 * (2503.20783). Changed: no KL by default (the paper has β = 0.04) and token-mean instead of sequence-mean, as later
 * work found both better; std is the population's, and every call of a multi-agent episode is a sequence of its own.
 */

import { type Aggregation, checkAggregation } from "./aggregation.ts";
import type { MethodCard } from "./card.ts";
import { clippedLoss } from "./clipped-loss.ts";
import { MethodSettingsError, wrongSetting } from "./errors.ts";
import { checkGroupScope, type GroupNormalisation, groupCredit } from "./group-advantage.ts";
import { type KlSettings, klPenalties, klSettings } from "./kl.ts";
import type { BatchCall, BatchEstimates, Method } from "./method.ts";
import { type BatchScope, checkBatchScope, whiten } from "./whiten.ts";

export interface GrpoSettings extends KlSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** ε_low. Default 0.2. */
  readonly clipLow?: number;
  /** ε_high. Default 0.2; DAPO uses 0.28. */
  readonly clipHigh?: number;
  /** η, entropy bonus. Default 0. */
  readonly entropyCoefficient?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
  /** Default 0: the population's standard deviation. */
  readonly ddof?: 0 | 1;
  /** Default true; false for Dr. GRPO. */
  readonly divideByDeviation?: boolean;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
  /** Which calls of a group share a baseline. Default "task". */
  readonly scope?: GroupNormalisation["scope"];
  /** Whose advantages are whitened together after that, over the policy's whole batch. Default "none". */
  readonly normalise?: BatchScope;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: grpo({ groupSize: 8, clipHigh: 0.28 }) });
 */
export function grpo(given: GrpoSettings = {}): Method {
  const settings: Required<GrpoSettings> = {
    groupSize: 8,
    clipLow: 0.2,
    clipHigh: 0.2,
    entropyCoefficient: 0,
    aggregation: "token-mean",
    ddof: 0,
    divideByDeviation: true,
    epsilon: 1e-6,
    scope: "task",
    normalise: "none",
    epochs: 1,
    minibatches: 1,
    ...given,
    ...klSettings("grpo", given),
  };
  const { groupSize, klCoefficient, entropyCoefficient, epochs, minibatches, normalise } = settings;
  if (!Number.isInteger(groupSize) || groupSize < 2) {
    throw new MethodSettingsError({
      code: "E_GROUP_SIZE",
      message: `grpo has groupSize ${groupSize}; GRPO compares episodes of one task, so it needs an integer of at least 2.`,
      hint: "use 8, or 4 where sampling is slow.",
    });
  }
  for (const name of ["clipLow", "clipHigh", "entropyCoefficient", "epsilon"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      throw wrongSetting("grpo", name, settings[name], "a finite number of at least 0");
  }
  for (const name of ["epochs", "minibatches"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1)
      throw wrongSetting("grpo", name, settings[name], "an integer of at least 1");
  }
  checkGroupScope("grpo", settings.scope);
  checkBatchScope("grpo", "normalise", normalise);
  checkAggregation(settings.aggregation);
  const klInReward = klCoefficient > 0 && settings.klIn === "reward";
  const klInLoss = klInReward ? 0 : klCoefficient;
  const estimate = (batch: readonly BatchCall[]): BatchEstimates => {
    const penalties = klInReward ? klPenalties(batch, settings) : undefined;
    const advantages = batch.map(({ credit, length }, i) => {
      const all = new Float32Array(length).fill(credit);
      if (penalties === undefined) return all;
      let following = 0;
      for (let t = length - 1; t >= 0; t--) {
        following += penalties[i]![t]!;
        all[t] = credit - following;
      }
      return all;
    });
    return { advantages: whiten(advantages, batch, { scope: normalise }) };
  };
  return Object.freeze({
    name: "grpo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: {
      reference: klCoefficient > 0,
      ...(klInReward ? { referenceInEstimate: true } : {}),
      entropy: entropyCoefficient > 0,
      tokensWithoutAdvantage: klInLoss > 0 || entropyCoefficient > 0,
    },
    updates: { epochs, minibatches },
    credit: (group) => groupCredit(group, settings),
    ...(klInReward || normalise !== "none" ? { estimate } : {}),
    loss: (input) => clippedLoss(input, { ...settings, klCoefficient: klInLoss }),
  } satisfies Method);
}

export const grpoCard: MethodCard = {
  name: "grpo",
  title: "GRPO",
  stage: "method",
  line: "several episodes of a task are compared with each other: no critic; what to take first with sparse rewards",
  use: 'import { grpo } from "troupe/methods"',
  formula: [
    "A_i = (R_i − mean R) / (std R + ε)",
    "L = Σ_t w_t · [max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)) + β k(ℓ_t − ℓ_ref,t) − η H_t]",
  ],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN: 8 to 16 in most open code; DeepSeekMath has 64" },
    clipLow: { value: 0.2, source: "PPO" },
    clipHigh: { value: 0.2, source: "PPO; DAPO has 0.28" },
    klCoefficient: { value: 0, source: "DAPO, Dr. GRPO; DeepSeekMath has 0.04" },
    klIn: { value: "loss", source: "DeepSeekMath" },
    klEstimator: { value: "k3", source: "DeepSeekMath" },
    entropyCoefficient: { value: 0, source: "DeepSeekMath: none" },
    aggregation: { value: "token-mean", source: "DAPO; DeepSeekMath has sequence-mean" },
    ddof: { value: 0, source: "paper; verl and TRL compute 1" },
    divideByDeviation: { value: true, source: "DeepSeekMath; Dr. GRPO false" },
    epsilon: { value: 1e-6, source: "open code" },
    scope: { value: "task", source: "DeepSeekMath; Dr. MAS agent, AT-GRPO agent-turn" },
    normalise: { value: "none", source: "DeepSeekMath" },
    epochs: { value: 1, source: "DeepSeekMath" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "Shao et al., DeepSeekMath (arXiv 2402.03300)",
  notes: ["by default without KL and with token mean, as later work found better than the paper's"],
};
