/**
 * @file The clipped surrogate with optional k3 penalty and entropy bonus, as loss and ∂L/∂ℓ, ∂L/∂H.
 * Source: Schulman et al., "Proximal Policy Optimization" (arXiv 1707.06347), eq. 7; k3 from Schulman (2020).
 * Where both branches are equal (inside the clip range) the gradient is that of the first.
 */

import { type Aggregation, tokenWeight } from "./aggregation.ts";
import { LossError } from "./errors.ts";
import type { LossInput, LossOutput } from "./method.ts";

export interface ClippedLossSettings {
  readonly clipLow: number;
  readonly clipHigh: number;
  readonly klCoefficient: number;
  readonly entropyCoefficient: number;
  readonly aggregation: Aggregation;
}

export function clippedLoss(input: LossInput, settings: ClippedLossSettings): LossOutput {
  const { lengths, logprobs, oldLogprobs, advantages, mask, totals } = input;
  const { clipLow, clipHigh, klCoefficient, entropyCoefficient, aggregation } = settings;
  const size = logprobs.length;
  const reference = klCoefficient > 0 ? input.referenceLogprobs : undefined;
  const entropies = entropyCoefficient > 0 ? input.entropies : undefined;
  checkShapes(input, settings);

  const g = new Float32Array(size);
  const h = entropies === undefined ? undefined : new Float32Array(size);
  let loss = 0;
  let counted = 0;
  let ratios = 0;
  let largestRatio = 0;
  let clipped = 0;
  let oldKl = 0;
  let referenceKl = 0;
  let surprise = 0;
  let entropy = 0;
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
      let tokenLoss = bounded;
      if (plain >= bounded) {
        tokenLoss = plain;
        g[at] = w * plain;
      } else {
        clipped++;
      }
      if (reference !== undefined) {
        const d = reference[at]! - l;
        const e = Math.exp(d);
        tokenLoss += klCoefficient * (e - d - 1);
        g[at] = g[at]! + klCoefficient * w * (1 - e);
        referenceKl += e - d - 1;
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
    gradients: h === undefined ? { logprobs: g } : { logprobs: g, entropies: h },
    statistics: {
      tokens: counted,
      sums: {
        ratio: ratios,
        clipFraction: clipped,
        kl: oldKl,
        ...(reference === undefined ? {} : { referenceKl }),
        // Mean −ℓ of sampled tokens estimates the entropy without bias; exact where the method asks for H.
        entropy: entropies === undefined ? surprise : entropy,
      },
      maxima: { largestRatio },
    },
  };
}

function checkShapes(input: LossInput, { klCoefficient, entropyCoefficient }: ClippedLossSettings): void {
  const size = input.logprobs.length;
  const sizes: Record<string, number | undefined> = {
    lengths: input.lengths.reduce((sum, length) => sum + length, 0),
    oldLogprobs: input.oldLogprobs.length,
    advantages: input.advantages.length,
    mask: input.mask?.length ?? size,
    referenceLogprobs: klCoefficient > 0 ? input.referenceLogprobs?.length : size,
    entropies: entropyCoefficient > 0 ? input.entropies?.length : size,
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
