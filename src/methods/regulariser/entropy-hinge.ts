/**
 * @file G²RPO's entropy shaping: the entropy of each kind of task is kept between two bounds,
 *
 *   L += c · mean over kinds of [ max(0, E − high) + max(0, low − E) ],   E = token mean of −ℓ over the kind's tokens
 *   ∂E/∂ℓ_t = −1 / tokens of the kind
 *
 * E is that of the weights before the update, over the whole batch of a policy, so that microbatches change nothing;
 * within the update the hinge stays on the side where it was. A minibatch with 1/m of the batch's tokens has their shares
 * m times, so that the hinge weighs the same against the loss, which is a mean over the minibatch.
 *
 * Source: OpenVLThinkerV2, G²RPO (arXiv 2604.08539) and its code: c = 0.02, bounds 0.2 and 0.6, off in the released
 * configuration. Kinds are a task's `dataset`. CHOSEN: the mean over the kinds of a batch.
 */

import type { MethodCard } from "../card.ts";
import { LossError, wrongSetting } from "../errors.ts";
import type { BatchCall, LossInput, LossOutput } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { Regulariser } from "../parts.ts";

export interface EntropyHingeSettings {
  /** c. Default 0.02 (official code). */
  readonly coefficient?: number;
  /** Nats a token. Default [0.2, 0.6] (official code). */
  readonly bounds?: readonly [number, number];
}

interface Kind {
  readonly tokens: number;
  /** −1: too low, 1: too high, 0: within. */
  readonly side: -1 | 0 | 1;
}

interface Prepared {
  /** [calls] */
  readonly kinds: readonly Kind[];
  readonly count: number;
  /** Of the whole batch. */
  readonly tokens: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function entropyHinge(given: EntropyHingeSettings = {}): Regulariser {
  const { coefficient = 0.02, bounds = [0.2, 0.6] } = given;
  checkNumber("entropyHinge", "coefficient", coefficient, { least: 0 });
  const [low, high] = bounds;
  if (!(low >= 0 && high >= low && Number.isFinite(high)))
    throw wrongSetting("entropyHinge", "bounds", bounds, "two numbers, at least 0, the smaller first");
  return Object.freeze({
    stage: "regulariser",
    name: "entropy-hinge",
    settings: { coefficient, bounds },
    // Filtered samples have log-probs of another distribution; the pass before the update knows the right ones.
    needs: { tokensWithoutAdvantage: true, entropyInEstimate: true },
    prepare: (batch) => kindsOf(batch, low, high),
    loss: (input) => hinge(input, coefficient, low, high),
  } satisfies Regulariser);
}

function kindsOf(batch: readonly BatchCall[], low: number, high: number): Prepared {
  const sums = new Map<string, { surprise: number; tokens: number }>();
  for (const { dataset = "", oldLogprobs, length, agent, episode } of batch) {
    if (oldLogprobs?.length !== length) {
      throw new LossError({
        code: "E_LOSS_SHAPE",
        message: `A call of agent "${agent}" in episode ${episode} has no log-probs of before the update.`,
        hint: "this is a fault of Troupe; please report it.",
      });
    }
    const { surprise, tokens } = sums.get(dataset) ?? { surprise: 0, tokens: 0 };
    const more = oldLogprobs.reduce((sum, l) => sum - l, 0);
    sums.set(dataset, { surprise: surprise + more, tokens: tokens + length });
  }
  const kinds = new Map(
    [...sums].map(([dataset, { surprise, tokens }]): [string, Kind] => {
      const mean = surprise / tokens;
      return [dataset, { tokens, side: mean > high ? 1 : mean < low ? -1 : 0 }];
    }),
  );
  return {
    kinds: batch.map(({ dataset = "" }) => kinds.get(dataset)!),
    count: kinds.size,
    tokens: batch.reduce((sum, { length }) => sum + length, 0),
  };
}

function hinge(
  { lengths, logprobs, mask, prepared, places, totals }: LossInput,
  coefficient: number,
  low: number,
  high: number,
): LossOutput {
  const g = new Float32Array(logprobs.length);
  const known = prepared as Prepared | undefined;
  let loss = 0;
  let tokens = 0;
  let at = 0;
  lengths.forEach((length, i) => {
    const end = at + length;
    const kind = known?.kinds[places?.[i] ?? -1];
    if (known === undefined || kind === undefined) {
      throw new LossError({
        code: "E_LOSS_SHAPE",
        message: `Sequence ${i} of the microbatch is not in the batch that entropyHinge has prepared for.`,
        hint: "a method with a part that prepares needs `prepared` and `places` with every microbatch.",
      });
    }
    const w = (coefficient * kind.side * known.tokens) / (known.count * kind.tokens * totals.tokens);
    for (; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      tokens++;
      if (kind.side === 0) continue;
      // Over all tokens of the kind these shares add up to c · |E − bound| / kinds.
      loss += w * (-logprobs[at]! - (kind.side > 0 ? high : low));
      g[at] = -w;
    }
  });
  return { loss, gradients: { logprobs: g }, statistics: { tokens, sums: {}, maxima: {} } };
}

export const entropyHingeCard: MethodCard = {
  name: "entropy-hinge",
  title: "Entropy hinge (G²RPO)",
  stage: "regulariser",
  line: "keeps the entropy of each kind of task between two bounds, from sampled tokens alone",
  use: 'import { entropyHinge } from "troupe/methods"',
  formula: [
    "L += c · mean over kinds of [max(0, E − high) + max(0, low − E)],   E = mean of −ℓ over the kind's tokens",
  ],
  defaults: {
    coefficient: { value: 0.02, source: "official code" },
    bounds: { value: [0.2, 0.6], source: "official code" },
  },
  source: "OpenVLThinkerV2, G²RPO (arXiv 2604.08539)",
  notes: ["CHOSEN: the mean over kinds", "off in the released configuration"],
};
