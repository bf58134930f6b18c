/**
 * @file GRPO: group-relative policy optimisation.
 *
 * For G episodes of one task with rewards R_i: A_i = (R_i − mean R) / (std R + ε), the same for every token of every
 * call of episode i. With ρ_t = exp(ℓ_t − ℓ_old,t):
 *
 *   L = Σ_t w_t · [ max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)) + β (e^{d_t} − d_t − 1) − η H_t ],  d_t = ℓ_ref,t − ℓ_t
 *   ∂L/∂ℓ_t = w_t · [ −A ρ_t where the first branch is the larger, else 0 ] + β w_t (1 − e^{d_t}),   ∂L/∂H_t = −η w_t
 *
 * w_t is 1/T (token-mean), 1/(N·len) (sequence-mean), 1/N (sequence-sum) or 1/(N·c) (constant), over the whole batch.
 *
 * Source: Shao et al., "DeepSeekMath" (arXiv 2402.03300), eqs. 3–4; k3 estimator of the KL: Schulman, "Approximating KL
 * divergence" (2020); token-mean and ε_high: Yu et al., "DAPO" (2503.14476); constant and no std: Liu et al., "Dr. GRPO"
 * (2503.20783). Changed: no KL by default (the paper has β = 0.04) and token-mean instead of sequence-mean, as later
 * work found both better; std is the population's, and every call of a multi-agent episode is a sequence of its own.
 */

import { type Aggregation, checkAggregation } from "./aggregation.ts";
import { clippedLoss } from "./clipped-loss.ts";
import { MethodSettingsError } from "./errors.ts";
import { type GroupNormalisation, groupCredit } from "./group-advantage.ts";
import type { KlEstimator } from "./kl.ts";
import type { Method } from "./method.ts";

export interface GrpoSettings {
  /** Episodes per task. Default 8. */
  readonly groupSize?: number;
  /** ε_low. Default 0.2. */
  readonly clipLow?: number;
  /** ε_high. Default 0.2; DAPO uses 0.28. */
  readonly clipHigh?: number;
  /** β. Default 0; more keeps a frozen copy of each policy. */
  readonly klCoefficient?: number;
  /** Default "k3". */
  readonly klEstimator?: KlEstimator;
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
  /** Which calls share a baseline. Default "task". */
  readonly scope?: GroupNormalisation["scope"];
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
    klCoefficient: 0,
    klEstimator: "k3",
    entropyCoefficient: 0,
    aggregation: "token-mean",
    ddof: 0,
    divideByDeviation: true,
    epsilon: 1e-6,
    scope: "task",
    epochs: 1,
    minibatches: 1,
    ...given,
  };
  const { groupSize, klCoefficient, entropyCoefficient, epochs, minibatches } = settings;
  if (!Number.isInteger(groupSize) || groupSize < 2) {
    throw new MethodSettingsError({
      code: "E_GROUP_SIZE",
      message: `grpo has groupSize ${groupSize}; GRPO compares episodes of one task, so it needs an integer of at least 2.`,
      hint: "use 8, or 4 where sampling is slow.",
    });
  }
  for (const name of ["clipLow", "clipHigh", "klCoefficient", "entropyCoefficient", "epsilon"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name]))) {
      throw new MethodSettingsError({
        code: "E_METHOD_SETTING",
        message: `grpo has ${name} ${settings[name]}; it must be a finite number of at least 0.`,
        hint: "leave it out for the default.",
      });
    }
  }
  for (const name of ["epochs", "minibatches"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1) {
      throw new MethodSettingsError({
        code: "E_METHOD_SETTING",
        message: `grpo has ${name} ${settings[name]}; it must be an integer of at least 1.`,
        hint: "leave it out for the default of 1.",
      });
    }
  }
  checkAggregation(settings.aggregation);
  return Object.freeze({
    name: "grpo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: {
      reference: klCoefficient > 0,
      entropy: entropyCoefficient > 0,
      tokensWithoutAdvantage: klCoefficient > 0 || entropyCoefficient > 0,
    },
    updates: { epochs, minibatches },
    credit: (group) => groupCredit(group, settings),
    loss: (input) => clippedLoss(input, settings),
  } satisfies Method);
}
