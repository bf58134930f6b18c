/**
 * @file The clipped surrogate as a part: Σ_t w_t max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)), with A < 0 at most
 * −cA under dual clip. ∂L/∂ℓ_t = −w_t A ρ_t where the first branch is the larger, else 0.
 *
 * Source: Schulman et al., "Proximal Policy Optimization" (arXiv 1707.06347), eq. 7; ε_high: Yu et al., "DAPO"
 * (2503.14476); dual clip: Ye et al. (1912.09729), eq. 3.
 */

import { type Aggregation, checkAggregation } from "../aggregation.ts";
import type { MethodCard } from "../card.ts";
import { clippedLoss } from "../clipped-loss.ts";
import { wrongSetting } from "../errors.ts";
import type { LossKernel } from "../parts.ts";

export interface ClippedSettings {
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO); DAPO has 0.28. */
  readonly clipHigh?: number;
  /** c > 1; Infinity switches it off. Default Infinity; verl has 3. */
  readonly dualClip?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
}

export function clipped(
  given: ClippedSettings = {},
): LossKernel & { readonly reads: "advantages"; readonly ratio: "token" } {
  const settings: Required<ClippedSettings> = {
    clipLow: 0.2,
    clipHigh: 0.2,
    dualClip: Number.POSITIVE_INFINITY,
    aggregation: "token-mean",
    ...given,
  };
  for (const name of ["clipLow", "clipHigh"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      throw wrongSetting("clipped", name, settings[name], "a finite number of at least 0");
  }
  if (!(settings.dualClip > 1))
    throw wrongSetting("clipped", "dualClip", settings.dualClip, "above 1, or Infinity");
  checkAggregation(settings.aggregation);
  const { dualClip, ...rest } = settings;
  const all = {
    ...rest,
    ...(Number.isFinite(dualClip) ? { dualClip } : {}),
    klCoefficient: 0,
    entropyCoefficient: 0,
  };
  return Object.freeze({
    stage: "loss",
    name: "clipped",
    reads: "advantages",
    ratio: "token",
    settings,
    loss: (input) => clippedLoss(input, all),
  } satisfies LossKernel);
}

export const clippedCard: MethodCard = {
  name: "clipped",
  title: "Clipped surrogate",
  stage: "loss",
  line: "PPO's loss: a token stops learning once its ratio has left the range; for several updates a batch",
  use: 'import { clipped } from "troupe/methods"',
  formula: [
    "L = Σ w_t · max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)),   where A < 0 at most −cA",
    "∂L/∂ℓ_t = −w_t · A · ρ_t where the first branch is the larger, else 0",
  ],
  defaults: {
    clipLow: { value: 0.2, source: "PPO" },
    clipHigh: { value: 0.2, source: "PPO; DAPO has 0.28" },
    dualClip: { value: Number.POSITIVE_INFINITY, source: "PPO: none; verl has 3" },
    aggregation: { value: "token-mean", source: "DAPO" },
  },
  source: "Schulman et al. (arXiv 1707.06347); dual clip: Ye et al. (1912.09729)",
};
