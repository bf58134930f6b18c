/**
 * @file MARS²: policies that grow one search tree per task, each trained on the nodes that it made,
 *
 *   r̂_v = r_v + γ (r_v − b_v),  b_v = (1 − λ) r_parent + λ · mean of r over the siblings      on raw rewards (credit/tree-shaping)
 *   r̂_v += overlong penalty;   Â_v = (r̂_v − mean) / std over all nodes, cut to ±10             (advantage/tree-nodes)
 *   s = exp(mean_t (ℓ_t − ℓ_old,t));   L = mean over calls of −w_t min(s Â, clip(s, 1 ± .2) Â) + 1e-3 · k3(ℓ − ℓ_ref)
 *
 * with w_t the truncated importance weight of samples of older weights (loss/truncated-importance). Pass it with
 * `search: marsSearch({ … })`; without one a group is a tree whose every node is a child of the root.
 *
 * Source: MARS² (arXiv 2604.14564) and MARTI-MARS² (2602.07848), as far as the public code and readers' notes show:
 * "MARS²+" is GSPO, overlong penalty and truncated importance sampling. The papers' γ, λ and posterior are UNVERIFIED. The
 * published code shapes nothing (nobody writes the parent), weighs importance twice (`correction: "repo"`), drops the rest
 * of a buffer (here it waits, `buffer`). Shaped rewards of failed nodes: there are none, they are in no mean.
 */

import { treeNodesAdvantage } from "./advantage/tree-nodes.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { type Overlong, treeShaping } from "./credit/tree-shaping.ts";
import { sequenceRatio } from "./loss/gspo.ts";
import { type TruncatedImportanceSettings, truncatedImportance } from "./loss/truncated-importance.ts";
import type { Method } from "./method.ts";
import { checkNumber } from "./number-setting.ts";
import { klPenalty } from "./regulariser/kl.ts";
import { searchTrees } from "./sampler/search-trees.ts";

export interface Mars2Settings extends TruncatedImportanceSettings {
  /** Episodes a task where the run has no `search`; with one its plan says. Default 8 (scripts: nodes a tree). */
  readonly groupSize?: number;
  /** γ. Default 0.5 (public code). */
  readonly gamma?: number;
  /** λ. Default 0.5 (public code). */
  readonly lambda?: number;
  /** Default "raw"; "inPlace" compounds with depth, as the public code would. */
  readonly shaping?: "raw" | "inPlace";
  /** Default: no penalty. The public code has `{ maxTokens: 32768, buffer: 2048 }`. */
  readonly overlong?: Overlong | undefined;
  /** Default 1, the sample's. */
  readonly ddof?: 0 | 1;
  /** Added to the deviation. Default 1e-9. */
  readonly epsilon?: number;
  /** Advantages are cut to ± this. Default 10. */
  readonly clip?: number;
  /** ε_low. Default 0.2. */
  readonly clipLow?: number;
  /** ε_high. Default 0.2. */
  readonly clipHigh?: number;
  /** Of k3 in the loss. Default 1e-3; 0 keeps no reference. */
  readonly klCoefficient?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * const teams = { small: { coder: "small" }, large: { coder: "large" } };
 * train({
 *   …,
 *   teams,
 *   method: mars2(),
 *   search: marsSearch({ teams, more: (task) => ({ ...task, attempts: task.attempts + 1 }) }),
 *   buffer: 32,
 * });
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function mars2(given: Mars2Settings = {}): Method {
  const { groupSize = 8, gamma = 0.5, lambda = 0.5, shaping = "raw", overlong } = given;
  const { ddof = 1, epsilon = 1e-9, clip = 10, clipLow = 0.2, clipHigh = 0.2 } = given;
  const { klCoefficient = 1e-3, epochs = 1, minibatches = 1 } = given;
  const { cap = 2, veto = 1e-4, level = "token", beyond = "truncate", correction = "single" } = given;
  checkNumber("mars2", "klCoefficient", klCoefficient, { least: 0 });
  return compose({
    name: "mars2",
    sampler: searchTrees(groupSize),
    credit: treeShaping({ gamma, lambda, form: shaping, overlong }),
    advantage: treeNodesAdvantage({ ddof, epsilon, clip }),
    loss: truncatedImportance({
      ...{ cap, veto, level, beyond, correction },
      kernel: sequenceRatio({ clipLow, clipHigh }),
    }),
    regularisers: klCoefficient === 0 ? [] : [klPenalty({ coefficient: klCoefficient })],
    epochs,
    minibatches,
  });
}

export const mars2Card: MethodCard = {
  name: "mars2",
  title: "MARS²",
  stage: "method",
  line: "several policies grow one search tree per task, and each learns from the nodes that it made",
  use: 'import { mars2 } from "troupe/methods"',
  formula: [
    "r̂_v = r_v + γ (r_v − b_v),   b_v = (1 − λ) r_parent + λ · mean of r over the siblings",
    "Â_v = (r̂_v − mean) / (std + ε) over all nodes of the tree, cut to ±clip",
    "L = GSPO with truncated importance weights + β · k3(ℓ − ℓ_ref)",
  ],
  defaults: {
    groupSize: { value: 8, source: "public scripts: nodes a tree" },
    gamma: { value: 0.5, source: "public code; the paper's is UNVERIFIED" },
    lambda: { value: 0.5, source: "public code; the paper's is UNVERIFIED" },
    shaping: { value: "raw", source: "paper; in place is what the public code would do" },
    ddof: { value: 1, source: "public code" },
    epsilon: { value: 1e-9, source: "public code" },
    clip: { value: 10, source: "public code" },
    clipLow: { value: 0.2, source: "public scripts" },
    clipHigh: { value: 0.2, source: "public scripts" },
    klCoefficient: { value: 1e-3, source: "public scripts" },
    cap: { value: 2, source: "public scripts" },
    veto: { value: 1e-4, source: "public code" },
    level: { value: "token", source: "public code" },
    beyond: { value: "truncate", source: "public code" },
    correction: { value: "single", source: "CHOSEN: the standard form; the public code corrects twice" },
    epochs: { value: 1, source: "public scripts" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "MARS² (arXiv 2604.14564); MARTI-MARS² (2602.07848)",
  notes: [
    "UNVERIFIED: γ, λ and the posterior of the published numbers",
    "CHOSEN: KL is a mean over tokens; no overlong penalty unless given",
  ],
};
