/**
 * @file M-GRPO: a main agent and the sub-agents that it calls, each on a policy of its own,
 *
 *   main agent: A = (R_M − μ)/σ over the K episodes;   sub-agents: aligned to d an episode, A = (R_S − μ)/σ over K·d
 *   L = clipped surrogate with one ratio a trajectory ("trajectory", the paper) or a token ("token"), no KL
 *
 * The rewards are the user's: R_M = 0.1 fmt + 0.9 correct, R_S = 0.1 fmt + 0.4 correct_main + 0.5 expert, each 0 when its
 * own format is invalid (paper); the released code gives a sub-agent 0 for a bad format, 0.1 if the main agent failed,
 * else 1. Sub-agents are child workflows, or agents whose calls are in them.
 *
 * Source: M-GRPO (arXiv 2511.13288) and its released configuration (clip 0.2/0.28, token-level, K = 8, d = 8). As printed
 * the trajectory ratio is the plain product over tokens, which overflows on long outputs: `length: "sum"`; the
 * length-normalised form is the default of "trajectory" here (CHOSEN).
 */

import { callGroup } from "./advantage/call-group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { clipped } from "./loss/clipped.ts";
import { sequenceRatio } from "./loss/gspo.ts";
import type { Method } from "./method.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface MGrpoSettings {
  /** K, episodes per task. Default 8 (paper). */
  readonly groupSize?: number;
  /** d. Default 8 (paper). */
  readonly size?: number | "p99";
  /** Default "token" (released configuration). */
  readonly ratio?: "token" | "trajectory";
  /** Of the trajectory ratio. Default "mean". */
  readonly length?: "mean" | "sum";
  /** ε_low. Default 0.2. */
  readonly clipLow?: number;
  /** ε_high. Default 0.28 (released configuration). */
  readonly clipHigh?: number;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, assign: { lead: "main", researcher: "sub" }, method: mGrpo() });
 */
export function mGrpo(given: MGrpoSettings = {}): Method {
  const { groupSize = 8, size = 8, ratio = "token", length = "mean", clipLow = 0.2, clipHigh = 0.28 } = given;
  const { epochs = 1, minibatches = 1 } = given;
  return compose({
    name: "m-grpo",
    sampler: fixedGroups<number>(groupSize),
    advantage: callGroup({ size, linked: ratio === "trajectory" }),
    loss:
      ratio === "token"
        ? clipped({ clipLow, clipHigh })
        : sequenceRatio({ over: "trajectory", length, clipLow, clipHigh }),
    epochs,
    minibatches,
  });
}

export const mGrpoCard: MethodCard = {
  name: "m-grpo",
  title: "M-GRPO",
  stage: "method",
  line: "a main agent and the sub-agents it calls, aligned to one number of sub-trajectories a task",
  use: 'import { mGrpo } from "troupe/methods"',
  formula: [
    "main: A = (R_M − μ)/σ over K episodes;   sub: A = (R_S − μ)/σ over K·d aligned sub-trajectories",
    "L = clipped surrogate, one ratio a token or a trajectory",
  ],
  defaults: {
    groupSize: { value: 8, source: "paper" },
    size: { value: 8, source: "paper" },
    ratio: { value: "token", source: "released configuration; the paper has the trajectory's" },
    length: { value: "mean", source: "CHOSEN: the product as printed overflows" },
    clipLow: { value: 0.2, source: "released configuration" },
    clipHigh: { value: 0.28, source: "released configuration" },
    epochs: { value: 1, source: "CHOSEN" },
    minibatches: { value: 1, source: "CHOSEN" },
  },
  source: "M-GRPO (arXiv 2511.13288)",
};
