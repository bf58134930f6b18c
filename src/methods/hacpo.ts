/**
 * @file HACPO: several policies sample the same tasks, each trains on its own episodes and on the others', and each works
 * alone afterwards,
 *
 *   P̂_k = mean reward of policy k over the last 5 steps;   ω(k,j) = P̂_k / P̂_j
 *   A_k = (r − μ̂_k) / σ,  μ̂_k = mean of ω(k,j) r over all episodes of the task           (advantage/capability)
 *   own: GSPO with A_k;   foreign: −clip(s, min(1, 1 − δ + m δ_step), 1) · sg(·)^α · ω(j,k) A_k   (loss/cross-policy)
 *
 * Pass it with `teams`: a group is `groupSize` episodes of each. Baselines are apart by agent; a call is given to every
 * other trained policy that plays its agent. With one policy it is GSPO.
 *
 * Source: HACPO (arXiv 2603.02604) and its two official codes. Where they differ, and the two readings of the baseline of
 * foreign calls: see the parts. CHOSEN: a sequence is a call; every agent's calls are a problem of their own; a foreign text
 * follows the prompt that its source saw. The paper has one agent and one call.
 */

import {
  type CapabilityAdvantageSettings,
  capabilityAdvantage,
  capabilityAdvantageCard,
} from "./advantage/capability.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { perAgent } from "./credit/per-agent.ts";
import { type CrossPolicySettings, crossPolicyRatio, crossPolicyRatioCard } from "./loss/cross-policy.ts";
import type { Method } from "./method.ts";
import { checkNumber } from "./number-setting.ts";
import { klPenalty } from "./regulariser/kl.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface HacpoSettings extends CapabilityAdvantageSettings, CrossPolicySettings {
  /** Episodes of each team per task. Default 8 (paper). */
  readonly groupSize?: number;
  /** Of k3 in the loss, foreign texts included. Default 0; the official script has 1e-3. */
  readonly klCoefficient?: number;
  /** Times the batch is gone through. Default 1 (paper). */
  readonly epochs?: number;
  /** Optimiser steps an epoch, own calls first. Default 4 (paper: two on own calls, two on those of one other policy). */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, teams: { small: { solver: "small" }, large: { solver: "large" } }, method: hacpo() });
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function hacpo(given: HacpoSettings = {}): Method {
  const { groupSize = 8, klCoefficient = 0, epochs = 1, minibatches = 4, ...rest } = given;
  const { clipLow = 3e-4, clipHigh = 4e-4, alpha = 1, delta = 0.2, ...others } = rest;
  const { deltaStep = 0.025, mostLogRatio = 10, ...advantage } = others;
  checkNumber("hacpo", "klCoefficient", klCoefficient, { least: 0 });
  return compose({
    name: "hacpo",
    sampler: fixedGroups<number>(groupSize),
    credit: perAgent(),
    advantage: capabilityAdvantage(advantage),
    loss: crossPolicyRatio({ clipLow, clipHigh, alpha, delta, deltaStep, mostLogRatio }),
    regularisers: klCoefficient === 0 ? [] : [klPenalty({ coefficient: klCoefficient })],
    epochs,
    minibatches,
  });
}

export const hacpoCard: MethodCard = {
  name: "hacpo",
  title: "HACPO",
  stage: "method",
  line: "policies of different size, kind and tokenizer learn from each other's episodes, and run alone afterwards",
  use: 'import { hacpo } from "troupe/methods"',
  formula: [
    "ω(k,j) = P̂_k / P̂_j;   A_k = (r − mean of ω(k,j) r) / (σ + ε), over all teams' episodes",
    "s = exp(mean ℓ − mean log-prob of who sampled),   c = clip(s, min(1, 1 − δ + m δ_step), 1)",
    "L = GSPO on own calls − 1/N Σ_foreign c · sg(c)^α · ω(j,k) A_k",
  ],
  defaults: {
    groupSize: { value: 8, source: "paper, appendix A: of each policy" },
    ...capabilityAdvantageCard.defaults,
    ...crossPolicyRatioCard.defaults,
    klCoefficient: { value: 0, source: "paper; the official script: 1e-3" },
    epochs: { value: 1, source: "paper" },
    minibatches: { value: 4, source: "paper: 128 tasks a step, 64 a minibatch, two policies" },
  },
  source: "HACPO (arXiv 2603.02604) and its official codes",
  notes: ["CHOSEN: a sequence is a call, and each agent's calls are a problem of their own"],
};
