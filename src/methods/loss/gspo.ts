/**
 * @file The clipped surrogate with one ratio a sequence:
 *
 *   s = exp( 1/|o| Σ_t (ℓ_t − ℓ_old,t) ),   L = Σ_i w_i max(−A s, −A clip(s, 1 − ε_low, 1 + ε_high))
 *   ∂L/∂ℓ_t = −w_i A s / |o| for every token where the first branch is the larger, else 0
 *
 * `form: "token"` is GSPO-token: the same value and, with one advantage a sequence, the same gradient; tokens may have
 * advantages of their own, A_t s / |o|. `over: "trajectory"` takes all calls that are linked (`GroupCredit.links`: those
 * of an episode, as M-GRPO does) as one sequence. `length: "sum"` is the unnormalised product of M-GRPO as printed, which
 * overflows on long outputs.
 *
 * Source: Zheng et al., "Group Sequence Policy Optimization" (arXiv 2507.18071), eqs. 5–7 and 13–14; clip range 3e-4 and
 * 4e-4 in its §5.1. A sequence here is a call. Where both branches are equal the gradient is that of the first.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { LossInput, LossOutput } from "../method.ts";
import type { LossKernel } from "../parts.ts";
import { checkLossShapes, TokenSums } from "./token-loss.ts";

export interface SequenceRatioSettings {
  /** ε_low. Default 3e-4 (paper). */
  readonly clipLow?: number;
  /** ε_high. Default 4e-4 (paper). */
  readonly clipHigh?: number;
  /** Default "sequence". */
  readonly form?: "sequence" | "token";
  /** What a sequence is. Default "call". */
  readonly over?: "call" | "trajectory";
  /** Default "mean": the length-normalised ratio. */
  readonly length?: "mean" | "sum";
}

type RatioOf<Given extends SequenceRatioSettings> = Given["form"] extends "token" ? "token" : "sequence";

export function sequenceRatio<const Given extends SequenceRatioSettings>(
  given: Given = {} as Given,
): Omit<LossKernel, "ratio" | "reads"> & {
  readonly reads: "advantages";
  readonly ratio: RatioOf<Given>;
} {
  const settings: Required<SequenceRatioSettings> = {
    clipLow: 3e-4,
    clipHigh: 4e-4,
    form: "sequence",
    over: "call",
    length: "mean",
    ...given,
  };
  for (const name of ["clipLow", "clipHigh"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      throw wrongSetting("sequenceRatio", name, settings[name], "a finite number of at least 0");
  }
  const oneOf = {
    form: ["sequence", "token"],
    over: ["call", "trajectory"],
    length: ["mean", "sum"],
  } as const;
  for (const [name, allowed] of Object.entries(oneOf)) {
    const value = settings[name as keyof typeof oneOf];
    if (!(allowed as readonly unknown[]).includes(value))
      throw wrongSetting("sequenceRatio", name, value, allowed.map((one) => `"${one}"`).join(" or "));
  }
  return Object.freeze({
    stage: "loss",
    name: "sequence-ratio",
    reads: "advantages",
    ratio: settings.form as RatioOf<Given>,
    settings,
    loss: (input: LossInput) => sequenceLoss(input, settings),
  });
}

function sequenceLoss(input: LossInput, settings: Required<SequenceRatioSettings>): LossOutput {
  checkLossShapes(input);
  const { logprobs, oldLogprobs, advantages, mask, importance, totals } = input;
  const { clipLow, clipHigh, length } = settings;
  const g = new Float32Array(logprobs.length);
  const sums = new TokenSums();
  let loss = 0;
  const parts = sequences(input, settings.over);
  for (const { ranges, calls } of parts) {
    const tokens: number[] = [];
    for (const [from, to] of ranges)
      for (let t = from; t < to; t++) if (mask === undefined || mask[t] === 1) tokens.push(t);
    if (tokens.length === 0) continue;
    let difference = 0;
    for (const t of tokens) difference += logprobs[t]! - oldLogprobs[t]!;
    const scale = length === "mean" ? 1 / tokens.length : 1;
    const s = Math.exp(difference * scale);
    const bounded = Math.min(Math.max(s, 1 - clipLow), 1 + clipHigh);
    // Calls that are linked count as many times as there are of them, so that N normalises both forms alike.
    const w = calls / totals.sequences / tokens.length;
    let whole = 0;
    for (const t of tokens) {
      const a = advantages[t]!;
      const weight = w * (importance === undefined ? 1 : importance[t]!);
      const clipped = -a * s < -a * bounded;
      loss += weight * Math.max(-a * s, -a * bounded);
      sums.add(logprobs[t]!, oldLogprobs[t]!, clipped, s);
      if (clipped) continue;
      const slope = -weight * a * s * scale;
      if (settings.form === "token") g[t] = slope * tokens.length;
      else whole += slope;
    }
    // s depends on every token of its sequence alike.
    if (settings.form === "sequence") for (const t of tokens) g[t] = whole;
  }
  return sums.output(loss, g, input.lengths.length);
}

/** Ranges of tokens that share a ratio, and how many calls they are. */
function sequences(
  { lengths, links }: LossInput,
  over: "call" | "trajectory",
): readonly { readonly ranges: [number, number][]; readonly calls: number }[] {
  const byLink = new Map<number, [number, number][]>();
  const found: [number, number][][] = [];
  let at = 0;
  lengths.forEach((length, i) => {
    const range: [number, number] = [at, at + length];
    at += length;
    const link = over === "trajectory" ? (links?.[i] ?? -1) : -1;
    const known = link < 0 ? undefined : byLink.get(link);
    if (known !== undefined) {
      known.push(range);
      return;
    }
    const ranges = [range];
    if (link >= 0) byLink.set(link, ranges);
    found.push(ranges);
  });
  return found.map((ranges) => ({ ranges, calls: ranges.length }));
}

export const sequenceRatioCard: MethodCard = {
  name: "sequence-ratio",
  title: "Clipped sequence ratio (GSPO's loss)",
  stage: "loss",
  line: "one length-normalised ratio a sequence, clipped as one: steadier than token ratios on long outputs",
  use: 'import { sequenceRatio } from "troupe/methods"',
  formula: [
    "s = exp(1/|o| Σ_t (ℓ_t − ℓ_old,t))",
    "L = Σ_i 1/N · max(−A s, −A clip(s, 1 − ε_low, 1 + ε_high))",
    "∂L/∂ℓ_t = −A s / (N |o|) where unclipped",
  ],
  defaults: {
    clipLow: { value: 3e-4, source: "paper, §5.1" },
    clipHigh: { value: 4e-4, source: "paper, §5.1" },
    form: { value: "sequence", source: "paper" },
    over: { value: "call", source: "CHOSEN: a call is a sequence" },
    length: { value: "mean", source: "paper" },
  },
  source: "Zheng et al., GSPO (arXiv 2507.18071)",
};
