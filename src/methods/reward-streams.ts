/**
 * @file Estimates from several streams of rewards: each has a value head of its own and its own GAE, is whitened alone, and
 * the advantages are added up with weights. Stream 0 is rewarded with −β KL to the reference on each token, stream i with the
 * i-th named reward on a call's last token; calls without that reward have 0 of it. Every call is an episode of its own.
 *
 * Source: Moskovitz et al., constrained RLHF (arXiv 2310.04373).
 */

import { LossError } from "./errors.ts";
import { batchGae } from "./gae.ts";
import { type KlEstimator, klPenalties } from "./kl.ts";
import type { BatchCall, BatchEstimates } from "./method.ts";
import { type BatchScope, whiten } from "./whiten.ts";

export interface StreamSettings {
  readonly gamma: number;
  readonly lambda: number;
  readonly normalise: BatchScope;
  /** β */
  readonly klCoefficient: number;
  readonly klEstimator: KlEstimator;
}

/**
 * `names`: [N] of the rewards. `weights`: [N + 1] of the streams' advantages.
 * @returns advantages [calls][length], returns [calls][length, N + 1].
 * @throws LossError E_LOSS_SHAPE unless every call has N + 1 values a token, and log-probs of the reference.
 */
export function streamEstimates(
  batch: readonly BatchCall[],
  names: readonly string[],
  weights: readonly number[],
  settings: StreamSettings,
): Required<BatchEstimates> {
  const penalties = klPenalties(batch, settings);
  const heads = names.length + 1;
  const mixed = batch.map(({ length }) => new Float32Array(length));
  const returns = batch.map(({ length }) => new Float32Array(length * heads));
  for (let k = 0; k < heads; k++) {
    const own = batch.map((call) => ({
      ...call,
      credit: k === 0 ? 0 : (call.terms?.[names[k - 1]!] ?? 0),
      values: ofHead(call, k, heads),
    }));
    const found = batchGae(own, { ...settings, turns: "none" }, k === 0 ? penalties : undefined);
    const advantages = whiten(found.advantages, batch, { scope: settings.normalise });
    for (let i = 0; i < batch.length; i++) {
      for (let t = 0; t < mixed[i]!.length; t++) {
        mixed[i]![t]! += weights[k]! * advantages[i]![t]!;
        returns[i]![t * heads + k] = found.returns[i]![t]!;
      }
    }
  }
  return { advantages: mixed, returns };
}

function ofHead({ values, length, agent, episode }: BatchCall, head: number, heads: number): Float32Array {
  if (values?.length === length * heads)
    return Float32Array.from({ length }, (_, t) => values[t * heads + head]!);
  throw new LossError({
    code: "E_LOSS_SHAPE",
    message: `A call of agent "${agent}" in episode ${episode} has ${length} tokens and ${values?.length ?? "no"} values; ${heads} value heads give ${length * heads}.`,
    hint: `open the policy with valueHead: ${heads}.`,
  });
}
