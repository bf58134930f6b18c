/**
 * @file Visually guided weights: tokens and episodes that look at the image weigh more,
 *
 *   w_t = cosine of the token's last hidden state and the mean one of the image's tokens, given
 *   ŵ_t = w_t (1 + g_t β t / T);   g_t = 1 for the ⌊κ n⌋ largest (at least one, ties too) of the n tokens from ⌊γ T⌋ on, else 0
 *   n_t = min–max of ŵ over the sequence,   ψ_t = clip(1 + n_t − mean n, 0.1, 2)
 *   φ = Σ_t n_t,   α = clip(1 + φ̃ − mean φ̃, 0.9, 2), φ̃ = min–max of φ over the group;   A_t = A α ψ_t
 *
 * t / T goes from 0 at the first token to 1 at the last.
 *
 * Source: VGPO, visually guided (arXiv 2604.09349) and its official code. Changed: min–max over each sequence and each
 * group, where the code has it over the microbatch, so that results depend on how a batch is cut. Not wired into a run:
 * the local engine exports no hidden states, and takes no images. CHOSEN: equal values have min–max 0.
 */

import type { MethodCard } from "./card.ts";
import { wrongSetting } from "./errors.ts";
import { checkNumber } from "./number-setting.ts";

export interface VisualWeightSettings {
  /** β, the boost of late tokens. Default 0.3 (VGPO). */
  readonly boost?: number;
  /** γ, where late begins. Default 0.5 (VGPO). */
  readonly late?: number;
  /** κ, the share of late tokens that are boosted. Default 0.2 (VGPO). */
  readonly share?: number;
}

export interface VisualWeights {
  /** [tokens] ŵ */
  readonly boosted: Float64Array;
  /** [tokens] n */
  readonly normalised: Float64Array;
  /** [tokens] ψ */
  readonly token: Float64Array;
  /** φ */
  readonly sum: number;
}

/** Of one sequence. @param similarities [tokens] w. @throws MethodSettingsError E_METHOD_SETTING */
export function visualWeights(
  similarities: ArrayLike<number>,
  { boost = 0.3, late = 0.5, share = 0.2 }: VisualWeightSettings = {},
): VisualWeights {
  checkNumber("visualWeights", "boost", boost, { least: 0 });
  checkNumber("visualWeights", "late", late, { least: 0, most: 1 });
  checkNumber("visualWeights", "share", share, { least: 0, most: 1 });
  const length = similarities.length;
  const from = Math.floor(late * length);
  const sorted = Float64Array.from(similarities).subarray(from).sort().toReversed();
  const least = sorted[Math.max(1, Math.floor(share * sorted.length)) - 1] ?? Number.POSITIVE_INFINITY;
  const boosted = Float64Array.from(similarities, (value, t) =>
    t >= from && value >= least ? value * (1 + (boost * t) / Math.max(1, length - 1)) : value,
  );
  const normalised = minMax(boosted);
  const sum = normalised.reduce((all, value) => all + value, 0);
  const token = normalised.map((value) => clip(1 + value - sum / length, 0.1, 2));
  return { boosted, normalised, token, sum };
}

/** [G] α of the sequences of one group. @param sums [G] φ */
export function visualSequenceWeights(sums: ArrayLike<number>): Float64Array {
  const scaled = minMax(Float64Array.from(sums));
  const mean = scaled.reduce((all, value) => all + value, 0) / scaled.length;
  return scaled.map((value) => clip(1 + value - mean, 0.9, 2));
}

/**
 * [G][tokens] A α ψ of one group.
 * @param advantages [G] @param similarities [G][tokens]
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function visualAdvantages(
  advantages: ArrayLike<number>,
  similarities: readonly ArrayLike<number>[],
  settings: VisualWeightSettings = {},
): readonly Float64Array[] {
  if (advantages.length !== similarities.length)
    throw wrongSetting("visualAdvantages", "advantages", advantages.length, `${similarities.length} numbers`);
  const weights = similarities.map((each) => visualWeights(each, settings));
  const ofSequence = visualSequenceWeights(weights.map(({ sum }) => sum));
  return weights.map(({ token }, i) => token.map((value) => advantages[i]! * ofSequence[i]! * value));
}

const clip = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

function minMax(values: Float64Array): Float64Array {
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  return values.map((value) => (high > low ? (value - low) / (high - low) : 0));
}

export const visualWeightsCard: MethodCard = {
  name: "visual-weights",
  title: "Visually guided weights (VGPO)",
  stage: "token weight",
  line: "tokens and episodes that look at the image weigh more; on given similarities, as a function",
  use: 'import { visualAdvantages } from "troupe/methods"',
  formula: [
    "ŵ_t = w_t (1 + g_t β t / T), w the similarity to the image's tokens",
    "ψ_t = clip(1 + n_t − mean n, 0.1, 2), n = min–max of ŵ; α likewise from Σ n over the group, in [0.9, 2]",
    "A_t = A α ψ_t",
  ],
  defaults: {
    boost: { value: 0.3, source: "official code (β)" },
    late: { value: 0.5, source: "official code (γ)" },
    share: { value: 0.2, source: "official code (κ)" },
  },
  source: "VGPO, visually guided (arXiv 2604.09349), official code",
  notes: [
    "Not wired into a run: engines export no hidden states",
    "Changed: min–max over sequence and group, where the code has the microbatch",
  ],
};
