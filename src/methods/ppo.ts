/**
 * @file PPO with a value head, in the form of UnityMAS-O: the group only gives each call its reward; advantages are
 * estimated over the policy's whole batch.
 *
 * δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γλ A_{t+1},  return_t = A_t + V_t,  then A ← (A − mean)/√(var + 1e-8), and
 *
 *   L = Σ_t w_t · [ max(−Aρ, −A clip(ρ, 1 − ε, 1 + ε)), at most −cA where A < 0,
 *                   + β KL_t − η H_t + ½ c_v max((v − R)², (clip(v, v_old ± ε_v) − R)²) ]
 *
 * Source: Schulman et al., "Proximal Policy Optimization" (arXiv 1707.06347); UnityMAS-O (2605.26646) and the verl core
 * that it uses for defaults: γ = λ = 1, ε = 0.2, dual clip c = 3, ε_v = 0.5, whitening with n − 1 over the model's batch,
 * no KL, no entropy bonus, one epoch in one minibatch.
 * Changed: the value head shares the policy's body and optimiser, where UnityMAS-O trains a critic of its own with ten
 * times the learning rate, so c_v is a setting (CHOSEN: 1, that is ½ of the squared error); token-mean is over the whole
 * minibatch, where verl averages within microbatches; ρ is not bounded to e^±20, since a loss that is not finite is an
 * error here; and GAE may go on from a call to the agent's next one (`turns`), then with terms that count for several
 * calls of an agent on its last one (CHOSEN).
 */

import { type Aggregation, checkAggregation } from "./aggregation.ts";
import { clippedLoss } from "./clipped-loss.ts";
import { wrongSetting } from "./errors.ts";
import { batchGae, type GaeSettings, linkedRewards } from "./gae.ts";
import { spreadOf } from "./group-advantage.ts";
import { type KlSettings, klPenalties, klSettings } from "./kl.ts";
import type { Method } from "./method.ts";
import { type BatchScope, checkBatchScope, whiten } from "./whiten.ts";

export interface PpoSettings extends KlSettings {
  /** Episodes per task; no episode is compared with another, so 1 is enough. Default 1 (UnityMAS-O: n = 1). */
  readonly groupSize?: number;
  /** γ from token to token. Default 1. */
  readonly gamma?: number;
  /** λ from token to token. Default 1. */
  readonly lambda?: number;
  /** From a call to the agent's next call of the episode. Default "none". */
  readonly turns?: GaeSettings["turns"];
  /** Whose advantages are whitened together. Default "model". */
  readonly normalise?: BatchScope;
  /** ε below and above. Default 0.2, 0.2. */
  readonly clipLow?: number;
  readonly clipHigh?: number;
  /** c; Infinity switches it off. Default 3. */
  readonly dualClip?: number;
  /** c_v. Default 1. */
  readonly valueCoefficient?: number;
  /** ε_v; Infinity switches it off. Default 0.5. */
  readonly valueClip?: number;
  /** η. Default 0. */
  readonly entropyCoefficient?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, policies: { small: local("…", { valueHead: true }) }, method: ppo({ epochs: 2, minibatches: 4 }) });
 */
export function ppo(given: PpoSettings = {}): Method {
  const settings: Required<PpoSettings> = {
    groupSize: 1,
    gamma: 1,
    lambda: 1,
    turns: "none",
    normalise: "model",
    clipLow: 0.2,
    clipHigh: 0.2,
    dualClip: 3,
    valueCoefficient: 1,
    valueClip: 0.5,
    entropyCoefficient: 0,
    aggregation: "token-mean",
    epochs: 1,
    minibatches: 1,
    ...given,
    ...klSettings("ppo", given),
  };
  check(settings);
  const { groupSize, klCoefficient, entropyCoefficient, dualClip, epochs, minibatches, turns } = settings;
  const kl = klCoefficient > 0;
  const klInReward = kl && settings.klIn === "reward";
  const lossSettings = {
    ...settings,
    klCoefficient: klInReward ? 0 : klCoefficient,
    value: { coefficient: settings.valueCoefficient, clip: settings.valueClip },
  };
  const { dualClip: _, ...withoutDualClip } = lossSettings;
  return Object.freeze({
    name: "ppo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: {
      reference: kl,
      ...(klInReward ? { referenceInEstimate: true } : {}),
      entropy: entropyCoefficient > 0,
      // The value head learns from every token, and whitening moves every advantage.
      tokensWithoutAdvantage: true,
      values: true,
    },
    updates: { epochs, minibatches },
    credit: (group) => {
      const rewards = group.flatMap(({ calls }) => calls.map(({ reward }) => reward));
      return {
        advantages: group.map(({ calls }) =>
          turns === "none" ? Float64Array.from(calls, ({ reward }) => reward) : linkedRewards(calls),
        ),
        // A group of one has nothing to differ from, and still teaches: its rewards differ from what V expects.
        hasSignal: group.length < 2 || rewards.length === 0 || spreadOf(rewards, 0).deviation > 0,
      };
    },
    estimate: (batch) => {
      const penalties = klInReward ? klPenalties(batch, settings) : undefined;
      const { advantages, returns } = batchGae(batch, settings, penalties);
      return { advantages: whiten(advantages, batch, { scope: settings.normalise }), returns };
    },
    loss: (input) => clippedLoss(input, Number.isFinite(dualClip) ? lossSettings : withoutDualClip),
  } satisfies Method);
}

function check(settings: Required<PpoSettings>): void {
  const refuse = (name: string, wanted: string): never => {
    throw wrongSetting("ppo", name, settings[name as keyof PpoSettings], wanted);
  };
  for (const name of ["groupSize", "epochs", "minibatches"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1) refuse(name, "an integer of at least 1");
  }
  const isDiscount = (value: unknown) => typeof value === "number" && value >= 0 && value <= 1;
  for (const name of ["gamma", "lambda"] as const)
    if (!isDiscount(settings[name])) refuse(name, "between 0 and 1");
  const { turns } = settings;
  if (turns !== "none" && !(isDiscount(turns?.gamma) && isDiscount(turns?.lambda)))
    refuse("turns", '"none", or { gamma, lambda } between 0 and 1');
  for (const name of ["clipLow", "clipHigh", "entropyCoefficient", "valueCoefficient"] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      refuse(name, "a finite number of at least 0");
  }
  if (!(settings.valueClip > 0)) refuse("valueClip", "above 0, or Infinity");
  if (!(settings.dualClip > 1)) refuse("dualClip", "above 1, or Infinity");
  checkBatchScope("ppo", "normalise", settings.normalise);
  checkAggregation(settings.aggregation);
}
