/**
 * @file F-GRPO: GRPO with focal weights,
 *
 *   A_i = (1 − μ̂)^γ · (R_i − mean R) / (std R + ε),   μ̂ = the group's share of right episodes
 *
 * then the clipped surrogate, token mean, no KL. On DAPO's clipping: `clipHigh: 0.28`; on another loss: `loss`.
 *
 * Source: F-GRPO (arXiv 2602.06717), GRPO variant. The std is the population's, as printed; `ddof: 1` is what verl
 * computes.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import type { Method } from "./method.ts";
import type { LossKernel } from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";
import { focalWeight } from "./weight/focal.ts";

export interface FGrpoSettings {
  /** Episodes per task. Default 8 (paper). */
  readonly groupSize?: number;
  /** γ. Default 0.5 (paper). */
  readonly gamma?: number;
  /** The reward of a right episode. Default 1. */
  readonly right?: number;
  /** The reward of a wrong episode. Default 0. */
  readonly wrong?: number;
  /** ε_low. Default 0.2 (paper). */
  readonly clipLow?: number;
  /** ε_high. Default 0.2 (paper, on GRPO); 0.28 on DAPO. */
  readonly clipHigh?: number;
  /** Default 0. */
  readonly ddof?: 0 | 1;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
  /** Instead of the clipped surrogate, and of `clipLow` and `clipHigh`. */
  readonly loss?: LossKernel;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING
 * @example
 * train({ …, method: fGrpo({ gamma: 1, clipHigh: 0.28 }) });
 */
export function fGrpo(given: FGrpoSettings = {}): Method {
  const {
    groupSize = 8,
    gamma,
    right,
    wrong,
    clipLow = 0.2,
    clipHigh = 0.2,
    ddof = 0,
    epsilon = 1e-6,
  } = given;
  return compose({
    name: "f-grpo",
    sampler: fixedGroups(groupSize),
    advantage: groupAdvantage({ ddof, epsilon }),
    sequenceWeights: [
      focalWeight({
        ...(gamma === undefined ? {} : { gamma }),
        ...(right === undefined ? {} : { right }),
        ...(wrong === undefined ? {} : { wrong }),
      }),
    ],
    loss: given.loss ?? clipped({ clipLow, clipHigh }),
  });
}

export const fGrpoCard: MethodCard = {
  name: "f-grpo",
  title: "F-GRPO",
  stage: "method",
  line: "GRPO in which groups that are mostly right weigh less, so that rare right answers stay",
  use: 'import { fGrpo } from "troupe/methods"',
  formula: ["A = (1 − μ̂)^γ · (R − mean) / (std + ε)", "clipped surrogate, token mean, no KL"],
  defaults: {
    groupSize: { value: 8, source: "paper" },
    gamma: { value: 0.5, source: "paper" },
    right: { value: 1, source: "CHOSEN: rewards of 0 and 1" },
    wrong: { value: 0, source: "CHOSEN: rewards of 0 and 1" },
    clipLow: { value: 0.2, source: "paper" },
    clipHigh: { value: 0.2, source: "paper, on GRPO; 0.28 on DAPO" },
    ddof: { value: 0, source: "paper; verl computes 1" },
    epsilon: { value: 1e-6, source: "verl" },
  },
  source: "F-GRPO (arXiv 2602.06717)",
};
