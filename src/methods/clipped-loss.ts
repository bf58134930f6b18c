/**
 * @file The clipped surrogate with optional dual clip, KL penalty, entropy bonus and value loss, as loss and ∂L/∂ℓ,
 * ∂L/∂H, ∂L/∂v.
 * Source: Schulman et al., "Proximal Policy Optimization" (arXiv 1707.06347), eq. 7; dual clip: Ye et al., "Mastering
 * Complex Control in MOBA Games" (1912.09729), eq. 3; estimators of the KL: `kl.ts`; value loss: `value-loss.ts`.
 * Where both branches are equal (inside the clip range) the gradient is that of the first.
 */

import { type Aggregation, tokenWeight } from "./aggregation.ts";
import { LossError } from "./errors.ts";
import { type KlEstimator, klGradient, klValue } from "./kl.ts";
import type { LossInput, LossOutput } from "./method.ts";
import { valueLoss } from "./value-loss.ts";

export interface ClippedLossSettings {
  readonly clipLow: number;
  readonly clipHigh: number;
  /** c > 1: with A < 0 a token's loss is at most −cA. Default: none. */
  readonly dualClip?: number;
  readonly klCoefficient: number;
  /** Default "k3". */
  readonly klEstimator?: KlEstimator;
  readonly entropyCoefficient: number;
  readonly aggregation: Aggregation;
  /** Absent: no value loss. */
  readonly value?: { readonly coefficient: number; readonly clip: number };
}

export function clippedLoss(input: LossInput, settings: ClippedLossSettings): LossOutput {
  const { lengths, logprobs, oldLogprobs, advantages, mask, totals } = input;
  const { clipLow, clipHigh, dualClip, klCoefficient, entropyCoefficient, aggregation, value } = settings;
  const { klEstimator = "k3" } = settings;
  const { importance } = input;
  const size = logprobs.length;
  // With β = 0 only a statistic, where something else asked for the reference.
  const reference = input.referenceLogprobs;
  const entropies = entropyCoefficient > 0 ? input.entropies : undefined;
  checkShapes(input, settings);

  const g = new Float32Array(size);
  const h = entropies === undefined ? undefined : new Float32Array(size);
  const c = value === undefined ? undefined : new Float32Array(size);
  let loss = 0;
  let counted = 0;
  let ratios = 0;
  let largestRatio = 0;
  let clipped = 0;
  let oldKl = 0;
  let referenceKl = 0;
  let surprise = 0;
  let entropy = 0;
  let valueSum = 0;
  let valueClipped = 0;
  let dualClipped = 0;
  let at = 0;
  for (const length of lengths) {
    const end = at + length;
    let scored = length;
    if (mask !== undefined) {
      scored = 0;
      for (let t = at; t < end; t++) scored += mask[t]!;
    }
    const w = scored === 0 ? 0 : tokenWeight(aggregation, scored, totals);
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      const l = logprobs[at]!;
      const difference = l - oldLogprobs[at]!;
      const ratio = Math.exp(difference);
      const a = advantages[at]!;
      const plain = -a * ratio;
      const bounded = -a * Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
      const importanceHere = importance === undefined ? 1 : importance[at]!;
      let tokenLoss = bounded;
      if (plain >= bounded) {
        tokenLoss = plain;
        g[at] = w * importanceHere * plain;
      } else {
        clipped++;
      }
      if (dualClip !== undefined && a < 0 && tokenLoss > -dualClip * a) {
        tokenLoss = -dualClip * a;
        g[at] = 0;
        dualClipped++;
      }
      tokenLoss *= importanceHere;
      if (reference !== undefined) {
        const d = l - reference[at]!;
        if (klCoefficient > 0) {
          tokenLoss += klCoefficient * klValue(klEstimator, d);
          g[at] = g[at]! + klCoefficient * w * klGradient(klEstimator, d);
        }
        referenceKl += klValue("k3", d);
      }
      if (value !== undefined && c !== undefined) {
        const token = valueLoss(input.values![at]!, input.oldValues![at]!, input.returns![at]!, value.clip);
        tokenLoss += value.coefficient * token.loss;
        c[at] = value.coefficient * w * token.gradient;
        valueSum += token.loss;
        if (token.clipped) valueClipped++;
      }
      if (entropies !== undefined && h !== undefined) {
        tokenLoss -= entropyCoefficient * entropies[at]!;
        h[at] = -entropyCoefficient * w;
        entropy += entropies[at]!;
      }
      loss += w * tokenLoss;
      counted++;
      ratios += ratio;
      largestRatio = Math.max(largestRatio, ratio);
      // k3 of the policy that sampled against the policy now; 0 while strictly on-policy.
      oldKl += Math.exp(-difference) + difference - 1;
      surprise -= l;
    }
  }
  if (!Number.isFinite(loss)) {
    throw new LossError({
      code: "E_LOSS_NOT_FINITE",
      message: `The loss of a microbatch of ${lengths.length} sequences (${counted} tokens) is ${loss}; largest ratio ${largestRatio}.`,
      hint: "lower the learning rate; if it is the first step, check the model's weights with `troupe doctor`.",
    });
  }
  return {
    loss,
    gradients: {
      logprobs: g,
      ...(h === undefined ? {} : { entropies: h }),
      ...(c === undefined ? {} : { values: c }),
    },
    statistics: {
      tokens: counted,
      sums: {
        ratio: ratios,
        clipFraction: clipped,
        kl: oldKl,
        ...(reference === undefined ? {} : { referenceKl }),
        ...(dualClip === undefined ? {} : { dualClipFraction: dualClipped }),
        ...(value === undefined ? {} : { valueLoss: valueSum, valueClipFraction: valueClipped }),
        // Mean −ℓ of sampled tokens estimates the entropy without bias; exact where the method asks for H.
        entropy: entropies === undefined ? surprise : entropy,
      },
      maxima: { largestRatio },
    },
  };
}

function checkShapes(
  input: LossInput,
  { klCoefficient, entropyCoefficient, value }: ClippedLossSettings,
): void {
  const size = input.logprobs.length;
  const sizes: Record<string, number | undefined> = {
    lengths: input.lengths.reduce((sum, length) => sum + length, 0),
    oldLogprobs: input.oldLogprobs.length,
    advantages: input.advantages.length,
    mask: input.mask?.length ?? size,
    referenceLogprobs: input.referenceLogprobs?.length ?? (klCoefficient > 0 ? undefined : size),
    entropies: entropyCoefficient > 0 ? input.entropies?.length : size,
    values: value === undefined ? size : input.values?.length,
    oldValues: value === undefined ? size : input.oldValues?.length,
    returns: value === undefined ? size : input.returns?.length,
    importance: input.importance?.length ?? size,
  };
  for (const [name, found] of Object.entries(sizes)) {
    if (found !== size) {
      throw new LossError({
        code: "E_LOSS_SHAPE",
        message: `The microbatch has ${size} log-probs, but ${name} ${found === undefined ? "is missing" : `has ${found}`}.`,
        hint: "every scored token needs one entry in each array; nothing is padded with zeros.",
      });
    }
  }
}
