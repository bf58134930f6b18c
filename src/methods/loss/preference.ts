/**
 * @file DPO's loss over pairs of chosen and rejected calls:
 *
 *   L = −log σ(β d) − λ/|y⁺| Σ ℓ⁺,   d = Σ (ℓ − ℓ_ref)⁺ − Σ (ℓ − ℓ_ref)⁻
 *   ∂L/∂ℓ_t = −β σ(−β d) on each chosen token (and −λ/|y⁺|), +β σ(−β d) on each rejected one
 *
 * A pair is what is linked: its calls with A > 0 are chosen, those with A < 0 rejected. Pairs of one call each weigh the
 * same; pairs of more calls weigh as many times more.
 *
 * Source: Rafailov et al., "Direct Preference Optimization" (arXiv 2305.18290), eq. 7, β = 0.1. The likelihood term: CGPO's
 * CODPO (2409.20370), λ = 1 there, 0 here by default, as in DPO.
 */

import type { MethodCard } from "../card.ts";
import { LossError } from "../errors.ts";
import type { LossInput, LossOutput } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { LossKernel } from "../parts.ts";
import { checkLossShapes, TokenSums } from "./token-loss.ts";

export interface PreferenceSettings {
  /** β. Default 0.1 (paper). */
  readonly beta?: number;
  /** λ. Default 0 (DPO). */
  readonly likelihoodWeight?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING; its loss LossError E_PAIR for a chosen or rejected call without the other. */
export function preference(
  given: PreferenceSettings = {},
): LossKernel & { readonly reads: "pairs"; readonly ratio: "none" } {
  const { beta = 0.1, likelihoodWeight = 0 } = given;
  checkNumber("preference", "beta", beta, { above: 0 });
  checkNumber("preference", "likelihoodWeight", likelihoodWeight, { least: 0 });
  return Object.freeze({
    stage: "loss",
    name: "preference",
    reads: "pairs",
    ratio: "none",
    settings: { beta, likelihoodWeight },
    needs: { reference: true },
    loss: (input) => pairLoss(input, beta, likelihoodWeight),
  } satisfies LossKernel);
}

interface Pair {
  margin: number;
  calls: number;
  chosenTokens: number;
  chosenLogprob: number;
  rejected: boolean;
  readonly tokens: number[];
}

function pairLoss(input: LossInput, beta: number, likelihoodWeight: number): LossOutput {
  checkLossShapes(input, ["referenceLogprobs"]);
  const { logprobs, oldLogprobs, advantages, totals } = input;
  const g = new Float32Array(logprobs.length);
  const sums = new TokenSums();
  let loss = 0;
  let right = 0;
  let margins = 0;
  for (const pair of pairsOf(input)) {
    if (pair.chosenTokens === 0 || !pair.rejected) {
      if (pair.tokens.every((t) => advantages[t] === 0)) continue;
      throw new LossError({
        code: "E_PAIR",
        message: `A pair of ${pair.calls} linked calls has ${pair.rejected ? "no chosen" : "no rejected"} one.`,
        hint: "link each chosen call with its rejected one, with advantages above and below 0, such as bestAgainstWorst() does.",
      });
    }
    const w = pair.calls / totals.sequences;
    const x = beta * pair.margin;
    const push = beta / (1 + Math.exp(x));
    // −log σ(x) without overflow.
    loss += w * (Math.max(0, -x) + Math.log1p(Math.exp(-Math.abs(x))));
    loss -= (w * likelihoodWeight * pair.chosenLogprob) / pair.chosenTokens;
    for (const t of pair.tokens) {
      const sign = Math.sign(advantages[t]!);
      g[t] = -w * sign * push - (sign > 0 ? (w * likelihoodWeight) / pair.chosenTokens : 0);
      sums.add(logprobs[t]!, oldLogprobs[t]!, false);
      if (x > 0) right++;
      margins += pair.margin;
    }
  }
  const output = sums.output(loss, g, input.lengths.length);
  const { statistics } = output;
  return {
    ...output,
    statistics: { ...statistics, sums: { ...statistics.sums, pairAccuracy: right, pairMargin: margins } },
  };
}

function pairsOf({
  lengths,
  links,
  logprobs,
  referenceLogprobs,
  advantages,
  mask,
}: LossInput): Iterable<Pair> {
  const pairs = new Map<string, Pair>();
  let at = 0;
  lengths.forEach((length, i) => {
    const link = links?.[i] ?? -1;
    const key = link < 0 ? `alone ${i}` : `${link}`;
    const pair = pairs.get(key) ?? {
      margin: 0,
      calls: 0,
      chosenTokens: 0,
      chosenLogprob: 0,
      rejected: false,
      tokens: [],
    };
    pairs.set(key, pair);
    pair.calls++;
    const end = at + length;
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      const sign = Math.sign(advantages[at]!);
      pair.tokens.push(at);
      pair.margin += sign * (logprobs[at]! - referenceLogprobs![at]!);
      if (sign > 0) {
        pair.chosenTokens++;
        pair.chosenLogprob += logprobs[at]!;
      }
      if (sign < 0) pair.rejected = true;
    }
  });
  return pairs.values();
}

export const preferenceCard: MethodCard = {
  name: "preference",
  title: "Preference loss (DPO)",
  stage: "loss",
  line: "raises chosen calls over rejected ones, relative to the policy at the start",
  use: 'import { preference } from "troupe/methods"',
  formula: [
    "L = −log σ(β d) − λ/|y⁺| Σ ℓ⁺",
    "d = Σ (ℓ − ℓ_ref) over chosen tokens − Σ (ℓ − ℓ_ref) over rejected ones",
  ],
  defaults: {
    beta: { value: 0.1, source: "paper" },
    likelihoodWeight: { value: 0, source: "DPO; CODPO has 1" },
  },
  source: "Rafailov et al. (arXiv 2305.18290)",
};
