/**
 * @file GiGPO: group in group,
 *
 *   A = (R − mean over episodes) + ω (G_k − mean over calls in the same state)      (`advantage/gigpo.ts`)
 *
 * then the clipped surrogate and a KL penalty (k3), for tasks of many calls in which the same states come up again.
 *
 * Source: GiGPO (arXiv 2505.10978); code: the verl-agent fork in EPO's repository. Its penalty of 0.1 for an invalid action
 * and its reward of 10 for success are rewards of the workflow.
 */

import { type GigpoAdvantageSettings, gigpoAdvantage } from "./advantage/gigpo.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import { checkNumber } from "./number-setting.ts";
import { klPenalty } from "./regulariser/kl.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface GigpoSettings extends GigpoAdvantageSettings {
  /** Episodes per task. Default 8 (GiGPO). */
  readonly groupSize?: number;
  /** β. Default 0.01 (GiGPO); 0: no reference is kept. */
  readonly klCoefficient?: number;
  /** ε_low. Default 0.2 (PPO). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (PPO). */
  readonly clipHigh?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: gigpo({ anchor: ({ state }) => state?.split("\n").at(-1) }) });
 */
export function gigpo(given: GigpoSettings = {}): Method {
  const { groupSize = 8, klCoefficient = 0.01, clipLow = 0.2, clipHigh = 0.2, ...advantage } = given;
  checkNumber("gigpo", "klCoefficient", klCoefficient, { least: 0 });
  return compose({
    name: "gigpo",
    sampler: fixedGroups(groupSize),
    advantage: gigpoAdvantage(advantage),
    loss: clipped({ clipLow, clipHigh }),
    regularisers: klCoefficient === 0 ? [] : [klPenalty({ coefficient: klCoefficient })],
  });
}

export const gigpoCard: MethodCard = {
  name: "gigpo",
  title: "GiGPO",
  stage: "method",
  line: "groups of episodes, and within them groups of calls in the same state: long tasks without a critic",
  use: 'import { gigpo } from "troupe/methods"',
  formula: [
    "A = (R − mean over episodes) + ω (G_k − mean over calls in the same state)",
    "clipped surrogate + β k3",
  ],
  defaults: {
    groupSize: { value: 8, source: "paper" },
    stepWeight: { value: 1, source: "paper" },
    gamma: { value: 0.95, source: "paper" },
    norm: { value: "mean", source: "official code" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "official code" },
    episodes: { value: "episodes", source: "paper; the official code has calls" },
    anchor: { value: "the exact prompt", source: "CHOSEN: the paper has the environment's observation" },
    klCoefficient: { value: 0.01, source: "paper" },
    clipLow: { value: 0.2, source: "PPO" },
    clipHigh: { value: 0.2, source: "PPO" },
  },
  source: "GiGPO (arXiv 2505.10978), official code",
  notes: ["CHOSEN: a state is one agent's; what a credit assigner adds is the call's own"],
};
