/**
 * @file CGPO's three optimisers: policies that are rewarded by a reward model only where judges find all constraints kept.
 *
 *   crpg    A = R̃ − batch mean,   L = −1/N Σ_i A_i Σ_t ℓ_t                       (calibrated, regularised policy gradient)
 *   crraft  the best feasible call of a task within KL_max, by likelihood, weighted by R_cal
 *   codpo   the best feasible episode against the worst infeasible one: L = −log σ(β d) − λ/|y⁺| Σ ℓ⁺
 *
 * with R_cal and R̃ as in `advantage/calibrated.ts`. What is feasible: a reward term "infeasible" that is not 0 marks an
 * episode that breaks a constraint (give it the weight that it should cost; judges of `troupe/rewards` can be its source).
 * CGPO takes an optimiser, judges, K and KL_max for each kind of task, and averages their gradients; a run here has one.
 *
 * Source: "The Perfect Blend: Redefining RLHF with Mixture of Judges" (arXiv 2409.20370), §4. β = 0.1 and λ = 1.
 */

import { bestAgainstWorst } from "./advantage/best-worst.ts";
import { type CalibratedSettings, calibrated } from "./advantage/calibrated.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { feasibleByTerm } from "./feasible-by-term.ts";
import { likelihood } from "./loss/likelihood.ts";
import { policyGradient } from "./loss/policy-gradient.ts";
import { preference } from "./loss/preference.ts";
import type { Method, RewardedEpisode } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface CgpoSettings extends Omit<CalibratedSettings, "weigh"> {
  /** K, episodes per task. Default 4 (CHOSEN). */
  readonly groupSize?: number;
}

export interface CodpoSettings {
  /** K, episodes per task. Default 4 (CHOSEN). */
  readonly groupSize?: number;
  /** β. Default 0.1. */
  readonly beta?: number;
  /** λ. Default 1. */
  readonly likelihoodWeight?: number;
  /** Default: episodes whose reward term "infeasible" is absent or 0. */
  readonly isFeasible?: (episode: RewardedEpisode) => boolean;
}

/**
 * @example
 * train({ …, method: crpg(), rewards: sideBySide({ score, reference: minusScoreOfReference, infeasible }) });
 */
export function crpg({ groupSize = 4, ...settings }: CgpoSettings = {}): Method {
  return compose({
    name: "crpg",
    sampler: fixedGroups<number>(groupSize),
    advantage: calibrated({ ...settings, weigh: "reward" }),
    loss: policyGradient(),
  });
}

export function crraft({ groupSize = 4, ...settings }: CgpoSettings = {}): Method {
  return compose({
    name: "crraft",
    sampler: fixedGroups<number>(groupSize),
    advantage: calibrated({ ...settings, weigh: "best" }),
    loss: likelihood(),
  });
}

export function codpo(given: CodpoSettings = {}): Method {
  const { groupSize = 4, beta = 0.1, likelihoodWeight = 1, isFeasible = feasibleByTerm } = given;
  return compose({
    name: "codpo",
    sampler: fixedGroups<number>(groupSize),
    advantage: bestAgainstWorst({ isFeasible }),
    loss: preference({ beta, likelihoodWeight }),
  });
}

const source = "CGPO (arXiv 2409.20370)";
const notes = ["CHOSEN: K = 4; one optimiser for all tasks of a run"];

export const crpgCard: MethodCard = {
  name: "crpg",
  title: "CGPO: CRPG",
  stage: "method",
  line: "policy gradient on calibrated rewards that infeasible episodes do not get",
  use: 'import { crpg } from "troupe/methods"',
  formula: ["A = max(1 − log(π/π_ref)/KL_max, 0) · R_cal − batch mean;   L = −1/N Σ_i A_i Σ_t ℓ_t"],
  defaults: {
    groupSize: { value: 4, source: "CHOSEN" },
    klMax: { value: 10, source: "CHOSEN: tuned by task in the paper" },
    clamp: { value: false, source: "paper, as printed" },
  },
  source,
  notes,
};

export const crraftCard: MethodCard = {
  name: "crraft",
  title: "CGPO: CRRAFT",
  stage: "method",
  line: "likelihood of the best feasible answer near the start, weighted by its calibrated reward",
  use: 'import { crraft } from "troupe/methods"',
  formula: ["L = −1/T Σ R_cal · ℓ_t over the best feasible call of each task with log(π/π_ref) ≤ KL_max"],
  defaults: {
    groupSize: { value: 4, source: "CHOSEN" },
    klMax: { value: 10, source: "CHOSEN: tuned by task in the paper" },
    clamp: { value: false, source: "paper, as printed" },
  },
  source,
  notes,
};

export const codpoCard: MethodCard = {
  name: "codpo",
  title: "CGPO: CODPO",
  stage: "method",
  line: "prefers the best feasible episode to the worst infeasible one, with a likelihood term",
  use: 'import { codpo } from "troupe/methods"',
  formula: ["L = −log σ(β d) − λ/|y⁺| Σ ℓ⁺, best feasible against worst infeasible episode"],
  defaults: {
    groupSize: { value: 4, source: "CHOSEN" },
    beta: { value: 0.1, source: "DPO" },
    likelihoodWeight: { value: 1, source: "paper" },
  },
  source,
  notes,
};
