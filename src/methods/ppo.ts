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
 * minibatch, where verl averages within microbatches; and GAE may go on from a call to the agent's next one (`turns`).
 */

import { type Aggregation, checkAggregation } from "./aggregation.ts";
import { clippedLoss } from "./clipped-loss.ts";
import { MethodSettingsError } from "./errors.ts";
import { batchGae, type GaeSettings } from "./gae.ts";
import { spreadOf } from "./group-advantage.ts";
import type { KlEstimator } from "./kl.ts";
import type { Method } from "./method.ts";
import { type BatchScope, whiten } from "./whiten.ts";

export interface PpoSettings {
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
  /** β. Default 0; more keeps a frozen copy of each policy. */
  readonly klCoefficient?: number;
  /** Default "k3". */
  readonly klEstimator?: KlEstimator;
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
    klCoefficient: 0,
    klEstimator: "k3",
    entropyCoefficient: 0,
    aggregation: "token-mean",
    epochs: 1,
    minibatches: 1,
    ...given,
  };
  check(settings);
  const { groupSize, klCoefficient, entropyCoefficient, dualClip, epochs, minibatches } = settings;
  const lossSettings = {
    ...settings,
    value: { coefficient: settings.valueCoefficient, clip: settings.valueClip },
  };
  const { dualClip: _, ...withoutDualClip } = lossSettings;
  return Object.freeze({
    name: "ppo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: {
      reference: klCoefficient > 0,
      entropy: entropyCoefficient > 0,
      // The value head learns from every token, and whitening moves every advantage.
      tokensWithoutAdvantage: true,
      values: true,
    },
    updates: { epochs, minibatches },
    credit: (group) => {
      const rewards = group.flatMap(({ calls }) => calls.map(({ reward }) => reward));
      return {
        advantages: group.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
        // A group of one has nothing to differ from, and still teaches: its rewards differ from what V expects.
        hasSignal: group.length < 2 || rewards.length === 0 || spreadOf(rewards, 0).deviation > 0,
      };
    },
    estimate: (batch) => {
      const { advantages, returns } = batchGae(batch, settings);
      return { advantages: whiten(advantages, batch, { scope: settings.normalise }), returns };
    },
    loss: (input) => clippedLoss(input, Number.isFinite(dualClip) ? lossSettings : withoutDualClip),
  } satisfies Method);
}

function check(settings: Required<PpoSettings>): void {
  const refuse = (name: string, wanted: string) => {
    throw new MethodSettingsError({
      code: "E_METHOD_SETTING",
      message: `ppo has ${name} ${JSON.stringify(settings[name as keyof PpoSettings])}; it must be ${wanted}.`,
      hint: "leave it out for the default.",
    });
  };
  for (const name of ["groupSize", "epochs", "minibatches"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1) refuse(name, "an integer of at least 1");
  }
  const discounts = { gamma: settings.gamma, lambda: settings.lambda };
  const all = settings.turns === "none" ? discounts : { ...discounts, turns: settings.turns };
  for (const [name, value] of Object.entries(all)) {
    const values = typeof value === "number" ? [value] : [value.gamma, value.lambda];
    if (!values.every((one) => one >= 0 && one <= 1)) refuse(name, "between 0 and 1");
  }
  for (const name of [
    "clipLow",
    "clipHigh",
    "klCoefficient",
    "entropyCoefficient",
    "valueCoefficient",
  ] as const) {
    if (!(settings[name] >= 0 && Number.isFinite(settings[name])))
      refuse(name, "a finite number of at least 0");
  }
  if (!(settings.valueClip > 0)) refuse("valueClip", "above 0, or Infinity");
  if (!(settings.dualClip > 1)) refuse("dualClip", "above 1, or Infinity");
  checkAggregation(settings.aggregation);
}
