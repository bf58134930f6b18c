/** @file Settings of PPO (`ppo.ts`), and what they may be. Defaults: UnityMAS-O (arXiv 2605.26646). */

import { type Aggregation, checkAggregation } from "./aggregation.ts";
import { wrongSetting } from "./errors.ts";
import type { GaeSettings } from "./gae.ts";
import type { KlSettings } from "./kl.ts";
import { type BatchScope, checkBatchScope } from "./whiten.ts";

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

/** @throws MethodSettingsError E_METHOD_SETTING, E_AGGREGATION */
export function checkPpoSettings(settings: Required<PpoSettings>): void {
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
