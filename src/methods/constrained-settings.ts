/** @file What constrained RLHF (`constrained.ts`) is given, with its defaults and what is refused. */

import { stream } from "../random/stream.ts";
import { type Aggregation, checkAggregation } from "./aggregation.ts";
import { MethodSettingsError, wrongSetting } from "./errors.ts";
import { type KlEstimator, klSettings } from "./kl.ts";
import type { MultiplierForm, Multipliers } from "./multipliers.ts";
import { checkNumber } from "./number-setting.ts";
import { type BatchScope, checkBatchScope } from "./whiten.ts";

export interface ConstrainedSettings {
  /** θ of each constrained reward, by its name; N ≥ 1. The policy needs N + 1 value heads. */
  readonly thresholds: Readonly<Record<string, number>>;
  /** "sigmoid": at least θ (μ-PPO); "tanh": exactly θ (ξ-PPO); "plain": A = A_0 + Σ λ_i A_i, λ ≥ 0. Default "sigmoid". */
  readonly multiplier?: MultiplierForm;
  /** η. Default 0.1 (official code's settings). */
  readonly dualLearningRate?: number;
  /** Default 0.1 (official code). */
  readonly dualMomentum?: number;
  /** Dual steps after each update. Default 1; the official code takes one a minibatch, 200. */
  readonly dualSteps?: number;
  /** Default Infinity: no bound; official code 0.5. */
  readonly maxDualGradientNorm?: number;
  /** raw at the start. Default "random": one draw from N(0, 0.01²) for all; plain 0.5 (official code). */
  readonly initial?: number | "random";
  /** Of that draw. Default 0. */
  readonly seed?: number;
  /** r_0 = −β KL. Default 1; official code 0.2. */
  readonly klCoefficient?: number;
  /** Default "k1" (official code). */
  readonly klEstimator?: KlEstimator;
  /** c, shared by the constraints' heads. Default 0.5 (official code). */
  readonly valueCoefficient?: number;
  /** c_0. Default 0.2 (official code's settings). */
  readonly klValueCoefficient?: number;
  /** γ, λ of GAE. Default 0.99, 0.95 (official code). */
  readonly gamma?: number;
  readonly lambda?: number;
  /** Whose advantages are whitened together. Default "model". */
  readonly normalise?: BatchScope;
  /** ε. Default 0.2 (official code). */
  readonly clip?: number;
  /** Default "token-mean". */
  readonly aggregation?: Aggregation;
  /** Episodes per task. Default 1 (CHOSEN: no episode is compared with another). */
  readonly groupSize?: number;
  /** Times the batch is gone through. Default 5 (official code's settings). */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1 (CHOSEN; official code 40). */
  readonly minibatches?: number;
}

/** Of the draw for `initial`, as in the official code. */
const deviation = 0.01;

/** Before the first step. */
export function firstMultipliers({
  thresholds,
  initial,
  seed,
  multiplier,
}: Required<ConstrainedSettings>): Multipliers {
  const names = Object.keys(thresholds);
  const random = multiplier === "plain" ? 0.5 : deviation * stream("constrained", seed).normal();
  return {
    raw: names.map(() => (initial === "random" ? random : initial)),
    velocity: names.map(() => 0),
  };
}

export function constrainedDefaults(given: ConstrainedSettings): Required<ConstrainedSettings> {
  const { klCoefficient = 1, klEstimator = "k1" } = given;
  return {
    multiplier: "sigmoid",
    dualLearningRate: 0.1,
    dualMomentum: 0.1,
    dualSteps: 1,
    maxDualGradientNorm: Number.POSITIVE_INFINITY,
    initial: "random",
    seed: 0,
    valueCoefficient: 0.5,
    klValueCoefficient: 0.2,
    gamma: 0.99,
    lambda: 0.95,
    normalise: "model",
    clip: 0.2,
    aggregation: "token-mean",
    groupSize: 1,
    epochs: 5,
    minibatches: 1,
    ...given,
    klCoefficient,
    klEstimator,
  };
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function checkConstrained(settings: Required<ConstrainedSettings>): void {
  const { thresholds, multiplier, initial } = settings;
  const names = typeof thresholds === "object" && thresholds !== null ? Object.keys(thresholds) : [];
  if (names.length === 0) {
    throw new MethodSettingsError({
      code: "E_METHOD_SETTING",
      message: "constrained has no thresholds: it would only hold the policy at its reference.",
      hint: "name the rewards and what each is to reach, for example thresholds: { helpful: 0.4 }.",
      facts: { method: "constrained", setting: "thresholds" },
    });
  }
  for (const name of names) checkNumber("constrained", `thresholds.${name}`, thresholds[name]!);
  if (!["sigmoid", "tanh", "plain"].includes(multiplier))
    throw wrongSetting("constrained", "multiplier", multiplier, '"sigmoid", "tanh" or "plain"');
  const least = multiplier === "plain" ? { least: 0 } : {};
  if (initial !== "random") checkNumber("constrained", "initial", initial, least);
  for (const name of ["groupSize", "epochs", "minibatches", "dualSteps"] as const)
    checkNumber("constrained", name, settings[name], { integer: true, least: 1 });
  for (const name of ["gamma", "lambda"] as const)
    checkNumber("constrained", name, settings[name], { least: 0, most: 1 });
  for (const name of ["dualLearningRate", "valueCoefficient", "klValueCoefficient", "clip"] as const)
    checkNumber("constrained", name, settings[name], { least: 0 });
  if (!(settings.dualMomentum >= 0 && settings.dualMomentum < 1))
    throw wrongSetting("constrained", "dualMomentum", settings.dualMomentum, "at least 0 and below 1");
  if (!(settings.maxDualGradientNorm > 0))
    throw wrongSetting(
      "constrained",
      "maxDualGradientNorm",
      settings.maxDualGradientNorm,
      "above 0, or Infinity",
    );
  checkNumber("constrained", "klCoefficient", settings.klCoefficient, { above: 0 });
  klSettings("constrained", { ...settings, klIn: "reward" });
  checkNumber("constrained", "seed", settings.seed, { integer: true });
  checkBatchScope("constrained", "normalise", settings.normalise);
  checkAggregation(settings.aggregation);
}
