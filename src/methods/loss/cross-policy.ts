/**
 * @file GSPO on what a policy sampled itself, and a one-sided damped ratio on texts of other policies that it was given
 * (`GroupCredit.given`), whose advantages carry their own weight:
 *
 *   s = exp( min( mean_t ℓ_t − mean log-prob of the source, 10 ) ),   c = clip(s, min(1, 1 − δ + m δ_step), 1)
 *   L = 1/N [ Σ_own max(−A s, −A clip(s, 1 − ε_low, 1 + ε_high)) − Σ_given c · sg(c)^α · A ]
 *   ∂L/∂ℓ_t of a given text = −A s^(1+α) / (N |o|) inside the interval, edges included, else 0
 *
 * m is the number of optimiser steps that the policy has taken in this update. There is no `max` over branches for given
 * texts: outside the interval a text is discarded, whatever the sign of A.
 *
 * Source: HACPO (arXiv 2603.02604), eqs. 11–14 and 47–53; official codes. The paper damps with sg(s)^α, the codes with
 * sg(clip(s))^α, as here: inside the interval both are the same, outside only the value differs, and the spec's check vector
 * has the codes'. The paper's text has δ = 0.2, its table prints the lower bound 0.8 under that name.
 */

import type { MethodCard } from "../card.ts";
import { addStatistics, type LossInput, type LossOutput, type LossStatistics } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { LossKernel } from "../parts.ts";
import { sequenceRatio } from "./gspo.ts";
import { checkLossShapes } from "./token-loss.ts";

export interface CrossPolicySettings {
  /** ε_low on own texts. Default 3e-4 (paper). */
  readonly clipLow?: number;
  /** ε_high on own texts. Default 4e-4 (paper). */
  readonly clipHigh?: number;
  /** α ≥ 0: how fast texts that the learner finds less likely than their source fade. Default 1 (paper). */
  readonly alpha?: number;
  /** δ in [0, 1]: 1 − δ is the least ratio that teaches. Default 0.2 (paper). */
  readonly delta?: number;
  /** δ_step: by how much the least ratio rises with each optimiser step of the update. Default 0.025 (paper). */
  readonly deltaStep?: number;
  /** The largest log-ratio. Default 10 (official code). */
  readonly mostLogRatio?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function crossPolicyRatio(
  given: CrossPolicySettings = {},
): Omit<LossKernel, "ratio" | "reads"> & { readonly reads: "advantages"; readonly ratio: "sequence" } {
  const settings: Required<CrossPolicySettings> = {
    ...{ clipLow: 3e-4, clipHigh: 4e-4, alpha: 1, delta: 0.2, deltaStep: 0.025, mostLogRatio: 10 },
    ...given,
  };
  const { clipLow, clipHigh } = settings;
  checkNumber("crossPolicyRatio", "alpha", settings.alpha, { least: 0 });
  checkNumber("crossPolicyRatio", "delta", settings.delta, { least: 0, most: 1 });
  checkNumber("crossPolicyRatio", "deltaStep", settings.deltaStep, { least: 0 });
  checkNumber("crossPolicyRatio", "mostLogRatio", settings.mostLogRatio, { least: 0 });
  const own = sequenceRatio({ clipLow, clipHigh });
  return Object.freeze({
    stage: "loss",
    name: "cross-policy-ratio",
    reads: "advantages",
    ratio: "sequence",
    settings,
    loss: (input: LossInput) => {
      checkLossShapes(input);
      if (input.given?.some((given) => given === 1) !== true) return own.loss(input);
      return together(own.loss(withoutGiven(input)), givenLoss(input, settings));
    },
  });
}

/** The same sequences, with those that were given masked. */
function withoutGiven(input: LossInput): LossInput {
  const mask = Uint8Array.from(input.mask ?? new Uint8Array(input.logprobs.length).fill(1));
  let at = 0;
  input.lengths.forEach((length, i) => {
    if (input.given?.[i] === 1) mask.fill(0, at, at + length);
    at += length;
  });
  return { ...input, mask };
}

function givenLoss(
  { lengths, logprobs, oldLogprobs, advantages, mask, importance, given, updatesDone = 0, totals }: LossInput,
  { alpha, delta, deltaStep, mostLogRatio }: Required<CrossPolicySettings>,
): LossOutput {
  const least = Math.min(1, 1 - delta + updatesDone * deltaStep);
  const g = new Float32Array(logprobs.length);
  const sums = { ratio: 0, clipFraction: 0, kl: 0, entropy: 0, given: 0, crossRatio: 0, discarded: 0 };
  let largestRatio = 0;
  let counted = 0;
  let loss = 0;
  let at = 0;
  lengths.forEach((length, i) => {
    const tokens = Array.from({ length }, (_, t) => at + t).filter((t) => mask?.[t] !== 0);
    at += length;
    const n = tokens.length;
    if (given?.[i] !== 1 || n === 0) return;
    const difference = tokens.reduce((sum, t) => sum + logprobs[t]! - oldLogprobs[t]!, 0) / n;
    const d = Math.min(difference, mostLogRatio);
    const s = Math.exp(d);
    const c = Math.min(Math.max(s, least), 1);
    const discarded = s !== c;
    const value = tokens.reduce((sum, t) => sum + advantages[t]! * (importance?.[t] ?? 1), 0) / n;
    loss -= (c ** (1 + alpha) * value) / totals.sequences;
    // s depends on every token of its sequence alike.
    if (!discarded) for (const t of tokens) g[t] = -(s ** (1 + alpha) * value) / totals.sequences / n;
    counted += n;
    sums.given += n;
    sums.ratio += n * s;
    sums.crossRatio += n * s;
    sums.kl += n * (Math.exp(-d) + d - 1);
    sums.entropy -= tokens.reduce((sum, t) => sum + logprobs[t]!, 0);
    if (discarded) {
      sums.clipFraction += n;
      sums.discarded += n;
    }
    largestRatio = Math.max(largestRatio, s);
  });
  const statistics: LossStatistics = { tokens: counted, sums, maxima: { largestRatio } };
  return { loss, gradients: { logprobs: g }, statistics };
}

/** One of the two is 0 at every token. */
function together(own: LossOutput, given: LossOutput): LossOutput {
  return {
    loss: own.loss + given.loss,
    gradients: {
      logprobs: own.gradients.logprobs.map((value, t) => value + given.gradients.logprobs[t]!),
    },
    statistics: addStatistics(own.statistics, given.statistics),
  };
}

export const crossPolicyRatioCard: MethodCard = {
  name: "cross-policy-ratio",
  title: "Cross-policy ratio (HACPO's loss)",
  stage: "loss",
  line: "GSPO on own texts; texts of other policies count while the learner finds them about as likely as their source",
  use: 'import { crossPolicyRatio } from "troupe/methods"',
  formula: [
    "own: GSPO's;   given: s = exp(mean ℓ − mean log-prob of the source), c = clip(s, min(1, 1 − δ + m δ_step), 1)",
    "L = L_own − 1/N Σ_given c · sg(c)^α · A",
    "∂L/∂ℓ_t = −A s^(1+α) / (N |o|) inside the interval, else 0",
  ],
  defaults: {
    clipLow: { value: 3e-4, source: "paper" },
    clipHigh: { value: 4e-4, source: "paper" },
    alpha: { value: 1, source: "paper: its commonest; 3 for two pairs" },
    delta: { value: 0.2, source: "paper; its table 5 prints the bound 1 − δ" },
    deltaStep: { value: 0.025, source: "paper: its commonest" },
    mostLogRatio: { value: 10, source: "official code" },
  },
  source: "HACPO (arXiv 2603.02604), eqs. 11–14, and its official codes",
  notes: ["The paper damps with sg(s)^α, the codes and this with sg(clip(s))^α: gradients are the same"],
};
