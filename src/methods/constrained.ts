/**
 * @file Constrained RLHF: PPO that stays near the reference (r_0 = −KL) and brings each of N named rewards to a threshold
 * θ_i, the point beyond which more of it is no longer better. Multipliers weigh the streams:
 *
 *   A = (N − Σ λ_i) A_0 + Σ λ_i A_i        each A by GAE with a value head of its own, then whitened
 *   L = Σ_t w_t [ max(−Aρ, −A clip(ρ, 1 − ε, 1 + ε)) + c_0 (v_0 − R_0)² + (c / N) Σ_i (v_i − R_i)² ]
 *   raw_i ← raw_i − η λ'(raw_i) (Ĵ_i − θ_i)     with momentum, once a step (multipliers.ts)
 *
 * λ = σ(raw) is μ-PPO (J_i ≥ θ_i), λ = tanh(raw) is ξ-PPO (J_i = θ_i). Weights sum to N, so the scale of A stays bounded.
 *
 * Source: Moskovitz et al., "Confronting Reward Model Overoptimization with Constrained RLHF" (arXiv 2310.04373); official
 * code tedmoskovitz/ConstrainedRL4LMs, `constrained_ppo.py` and `dialog/gpt2_constrained_ppo.yml` (read).
 * Where they differ: the code takes a dual step after every minibatch (`dualSteps`), bounds the slopes' norm by 0.5
 * (`maxDualGradientNorm`), estimates Ĵ by a mean over tokens, so long outputs weigh more, and scales r_0 by 0.2.
 * Changed: whitening is over the policy's whole batch, the code's over a minibatch. The heads' order is KL, then the
 * constraints as they are named; the code has KL last. CHOSEN: Ĵ is the mean over episodes of the mean over those calls
 * that have the reward; calls without it have 0 of it in their stream; every call is an episode of its own.
 */

import type { MethodCard } from "./card.ts";
import { clippedLoss } from "./clipped-loss.ts";
import {
  type ConstrainedSettings,
  checkConstrained,
  constrainedDefaults,
  firstMultipliers,
} from "./constrained-settings.ts";
import type { LossInput, LossOutput, Method } from "./method.ts";
import { dualStep, readMultipliers, streamWeights } from "./multipliers.ts";
import { namedReward, requireNamedRewards } from "./named-rewards.ts";
import { streamEstimates } from "./reward-streams.ts";
import { valueHeadsLoss } from "./value-heads-loss.ts";

export type { ConstrainedSettings } from "./constrained-settings.ts";

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, policies: { small: local("…", { valueHead: 3 }) }, method: constrained({ thresholds: { helpful: 0.4, short: 0.7 } }) });
 */
export function constrained(given: ConstrainedSettings): Method {
  const settings = constrainedDefaults(given);
  checkConstrained(settings);
  const { thresholds, multiplier: form, groupSize, epochs, minibatches } = settings;
  const names = Object.keys(thresholds);
  let known = firstMultipliers(settings);
  const credit = (group: Parameters<Method["credit"]>[0]) => ({
    advantages: group.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
    // What one group cannot show, the distance to the reference and other groups can: it is trained on all the same.
    hasSignal:
      group.length < 2 ||
      names.some((name) => new Set(group.map((episode) => namedReward(episode, name))).size > 1),
  });
  return Object.freeze({
    name: "constrained",
    groupSize,
    settings: Object.freeze(settings),
    needs: {
      reference: true,
      referenceInEstimate: true,
      entropy: false,
      tokensWithoutAdvantage: true,
      values: names.length + 1,
    },
    updates: { epochs, minibatches },
    credit,
    creditAll: (groups) => {
      requireNamedRewards("constrained", groups, names);
      return groups.map(({ episodes }) => credit(episodes));
    },
    estimate: (batch) => streamEstimates(batch, names, streamWeights(form, known.raw), settings),
    loss: (input) => loss(input, settings, names, streamWeights(form, known.raw)),
    observe: ({ groups }) => {
      const means = requireNamedRewards("constrained", groups, names);
      const excess = names.map((name, i) => means[i]! - thresholds[name]!);
      const { dualLearningRate, dualMomentum, dualSteps, maxDualGradientNorm } = settings;
      const step = { learningRate: dualLearningRate, momentum: dualMomentum };
      for (let n = 0; n < dualSteps; n++)
        known = dualStep(known, excess, { form, ...step, maxGradientNorm: maxDualGradientNorm });
    },
    state: () =>
      Object.fromEntries(
        names.map((name, i) => [name, { raw: known.raw[i]!, velocity: known.velocity[i]! }]),
      ),
    restore: (state) => {
      known = readMultipliers("constrained", names, state);
    },
  } satisfies Method);
}

function loss(
  input: LossInput,
  { clip, aggregation, valueCoefficient, klValueCoefficient }: Required<ConstrainedSettings>,
  names: readonly string[],
  weights: readonly number[],
): LossOutput {
  const clipping = { clipLow: clip, clipHigh: clip, klCoefficient: 0, entropyCoefficient: 0 };
  const policy = clippedLoss(input, { ...clipping, aggregation });
  const coefficients = [klValueCoefficient, ...names.map(() => valueCoefficient / names.length)];
  const value = valueHeadsLoss(input, coefficients, aggregation);
  const { tokens, sums } = policy.statistics;
  const own: Record<string, number> = { klValueLoss: value.errors[0]! };
  for (const [i, name] of names.entries()) {
    own[`valueLoss.${name}`] = value.errors[i + 1]!;
    // A mean over tokens of what is the same for all of them.
    own[`multiplier.${name}`] = weights[i + 1]! * tokens;
  }
  return {
    loss: policy.loss + value.loss,
    gradients: { ...policy.gradients, values: value.gradients },
    statistics: { ...policy.statistics, sums: { ...sums, ...own } },
  };
}

export const constrainedCard: MethodCard = {
  name: "constrained",
  title: "Constrained RLHF",
  stage: "method",
  line: "PPO that brings each named reward to a threshold and stays near the reference: against overoptimisation",
  use: 'import { constrained } from "troupe/methods"',
  formula: [
    "A = (N − Σ λ_i) A_0 + Σ λ_i A_i, stream 0 rewarded with −KL, each by GAE with its own value head, whitened",
    "L = Σ_t w_t [ max(−Aρ, −A clip(ρ, 1 − ε, 1 + ε)) + c_0 (v_0 − R_0)² + (c / N) Σ_i (v_i − R_i)² ]",
    "λ = σ(raw) for J_i ≥ θ_i, tanh(raw) for J_i = θ_i;  raw_i ← raw_i − η λ'(raw_i) (Ĵ_i − θ_i), with momentum",
  ],
  defaults: {
    multiplier: { value: "sigmoid", source: "paper: μ-PPO" },
    dualLearningRate: { value: 0.1, source: "official code" },
    dualMomentum: { value: 0.1, source: "official code" },
    dualSteps: { value: 1, source: "paper; official code one a minibatch" },
    maxDualGradientNorm: { value: Number.POSITIVE_INFINITY, source: "paper; official code 0.5" },
    initial: { value: "random", source: "official code: N(0, 0.01²), 0.5 for plain multipliers" },
    seed: { value: 0, source: "CHOSEN" },
    klCoefficient: { value: 1, source: "paper; official code 0.2" },
    klEstimator: { value: "k1", source: "official code" },
    valueCoefficient: { value: 0.5, source: "official code" },
    klValueCoefficient: { value: 0.2, source: "official code" },
    gamma: { value: 0.99, source: "official code" },
    lambda: { value: 0.95, source: "official code" },
    normalise: { value: "model", source: "CHOSEN; official code a minibatch" },
    clip: { value: 0.2, source: "official code" },
    aggregation: { value: "token-mean", source: "official code" },
    groupSize: { value: 1, source: "CHOSEN" },
    epochs: { value: 5, source: "official code" },
    minibatches: { value: 1, source: "CHOSEN; official code 40" },
  },
  source: "Constrained RLHF (arXiv 2310.04373), official code tedmoskovitz/ConstrainedRL4LMs",
  notes: [
    "`thresholds` has no default: the rewards by name, and what each is to reach",
    "Policies need one value head more than there are thresholds",
    "Ĵ is a mean over episodes; the official code's is over tokens",
  ],
};
