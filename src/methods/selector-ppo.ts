/**
 * @file PPO for an agent that chooses once an episode: every call is an episode of one step.
 *
 *   δ = R − V,   Â = (δ − mean) / (σ + 1e-8) over the policy's batch, σ with n − 1
 *   L = 1/N Σ [ max(−Â ρ, −Â clip(ρ, 1 ± ε)) + c_v (v − ret)² − c_H H ]
 *   ret = R ("raw"), or Â + V_old ("official")
 *
 * Source: the expert selector of MixRAGRec's MMAPO (official code; the paper's body was not readable): ε 0.2, 4 epochs,
 * c_v 0.5, c_H 0.01, gradient norm 0.5. Its γ 0.99 and λ 0.95 matter in longer episodes only.
 * Changed: the code's value target is the normalised Â + V_old, which is no return of the episode; here R by default.
 * CHOSEN: one call alone in a batch has Â = 0; a call of several tokens is one action. The code's exploration (ε-greedy,
 * a bonus for rare experts) is left to the workflow.
 */

import { actionLoss, normalisedActions } from "./action-loss.ts";
import type { MethodCard } from "./card.ts";
import { wrongSetting } from "./errors.ts";
import type { BatchCall, Method, RewardedEpisode } from "./method.ts";
import { checkNumber } from "./number-setting.ts";

export interface SelectorPpoSettings {
  /** Episodes per task. Default 1: nothing is compared within a group. */
  readonly groupSize?: number;
  /** ε. Default 0.2 (official code). */
  readonly clip?: number;
  /** c_v. Default 0.5 (official code). */
  readonly valueCoefficient?: number;
  /** c_H. Default 0.01 (official code). */
  readonly entropyCoefficient?: number;
  /** Added to σ. Default 1e-8 (official code). */
  readonly epsilon?: number;
  /** What the value head learns. Default "raw" (CHOSEN). */
  readonly returns?: "raw" | "official";
  /** Times the batch is gone through. Default 4 (official code). */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * Needs a policy with a value head.
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * perPolicy({ selector: selectorPpo(), writer: grpo({ groupSize: 1 }) });
 */
export function selectorPpo(given: SelectorPpoSettings = {}): Method {
  const settings: Required<SelectorPpoSettings> = {
    groupSize: 1,
    clip: 0.2,
    valueCoefficient: 0.5,
    entropyCoefficient: 0.01,
    epsilon: 1e-8,
    returns: "raw",
    epochs: 4,
    minibatches: 1,
    ...given,
  };
  for (const name of ["groupSize", "epochs", "minibatches"] as const)
    checkNumber("selector-ppo", name, settings[name], { least: 1, integer: true });
  checkNumber("selector-ppo", "valueCoefficient", settings.valueCoefficient, { above: 0 });
  for (const name of ["clip", "entropyCoefficient", "epsilon"] as const)
    checkNumber("selector-ppo", name, settings[name], { least: 0 });
  if (settings.returns !== "raw" && settings.returns !== "official")
    throw wrongSetting("selector-ppo", "returns", settings.returns, '"raw" or "official"');
  const { groupSize, epochs, minibatches, epsilon, entropyCoefficient } = settings;
  return Object.freeze({
    name: "selector-ppo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: { reference: false, entropy: entropyCoefficient > 0, tokensWithoutAdvantage: true, values: true },
    updates: { epochs, minibatches },
    credit: rewardOfEachCall,
    estimate: (batch) => {
      const before = batch.map(firstValue);
      const advantages = normalisedActions(
        batch.map(({ credit }, i) => credit - before[i]!),
        epsilon,
      );
      return {
        advantages: filled(batch, (i) => advantages[i]!),
        returns: filled(batch, (i) =>
          settings.returns === "raw" ? batch[i]!.credit : advantages[i]! + before[i]!,
        ),
      };
    },
    loss: (input) => actionLoss(input, settings),
  } satisfies Method);
}

/** Each call by its own reward; all that is compared is in other groups too, so every call teaches. */
function rewardOfEachCall(group: readonly RewardedEpisode[]) {
  return {
    advantages: group.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
    hasSignal: group.some(({ calls }) => calls.length > 0),
  };
}

/** V of the end of the prompt. */
const firstValue = ({ values }: BatchCall) => values?.[0] ?? 0;

const filled = (batch: readonly BatchCall[], of: (i: number) => number) =>
  batch.map(({ length }, i) => new Float32Array(length).fill(of(i)));

export const selectorPpoCard: MethodCard = {
  name: "selector-ppo",
  title: "PPO over one-step episodes",
  stage: "method",
  line: "PPO for an agent that chooses once: the whole call is one action, judged against a value head",
  use: 'import { selectorPpo } from "troupe/methods"',
  formula: [
    "δ = R − V;   Â = (δ − mean) / (σ + 1e-8), σ with n − 1, over the policy's batch",
    "L = 1/N Σ [max(−Â ρ, −Â clip(ρ, 1 ± ε)) + c_v (v − ret)² − c_H H],   ρ of the whole call",
    'ret = R ("raw"), or Â + V_old ("official")',
  ],
  defaults: {
    groupSize: { value: 1, source: "official code: one episode a sample" },
    clip: { value: 0.2, source: "official code" },
    valueCoefficient: { value: 0.5, source: "official code" },
    entropyCoefficient: { value: 0.01, source: "official code" },
    epsilon: { value: 1e-8, source: "official code" },
    returns: { value: "raw", source: 'CHOSEN: the official code has "official"' },
    epochs: { value: 4, source: "official code" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "MixRAGRec, MMAPO (official code)",
  notes: [
    "The official value target, Â + V_old with a normalised Â, is no return; the default is R.",
    "CHOSEN: one call alone in a batch has Â = 0; a call of several tokens is one action.",
  ],
};
