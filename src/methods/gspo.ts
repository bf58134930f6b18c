/**
 * @file GSPO: GRPO's advantages with one length-normalised ratio a sequence, clipped as one (`loss/gspo.ts`):
 *
 *   A_i = (r_i − mean) / std;   s_i = exp(1/|o_i| Σ_t (ℓ_t − ℓ_old,t));   L = 1/N Σ_i max(−A_i s_i, −A_i clip(s_i))
 *
 * Source: Zheng et al., "Group Sequence Policy Optimization" (arXiv 2507.18071). A sequence is a call (CHOSEN for teams);
 * `over: "trajectory"` makes one sequence of all calls that an episode has of one policy. On one update a batch s = 1 and
 * it is GRPO with every sequence weighing the same; it differs with minibatches, for which it was made.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { sequenceRatio } from "./loss/gspo.ts";
import type { Method } from "./method.ts";
import type { AdvantagePart } from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface GspoSettings {
  /** Episodes per task. Default 8 (CHOSEN). */
  readonly groupSize?: number;
  /** ε_low. Default 3e-4 (paper). */
  readonly clipLow?: number;
  /** ε_high. Default 4e-4 (paper). */
  readonly clipHigh?: number;
  /** "token": GSPO-token. Default "sequence". */
  readonly form?: "sequence" | "token";
  /** Default "call". */
  readonly over?: "call" | "trajectory";
  /** Default 0, the population's. */
  readonly ddof?: 0 | 1;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1; the paper has 4. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, method: gspo({ minibatches: 4 }) });
 */
export function gspo(given: GspoSettings = {}): Method {
  const { groupSize = 8, clipLow = 3e-4, clipHigh = 4e-4, form = "sequence", over = "call" } = given;
  const { ddof = 0, epochs = 1, minibatches = 1 } = given;
  const advantage = groupAdvantage({ ddof });
  return compose({
    name: "gspo",
    sampler: fixedGroups<number>(groupSize),
    advantage: over === "call" ? advantage : linkedByEpisode(advantage),
    loss: sequenceRatio({ clipLow, clipHigh, form, over }),
    epochs,
    minibatches,
  });
}

/** The same advantages, with all calls of an episode seen together. */
export function linkedByEpisode(advantage: AdvantagePart): AdvantagePart {
  return Object.freeze({
    ...advantage,
    advantages: (groups) =>
      advantage.advantages(groups).map((given, k) => ({
        ...given,
        links: groups[k]!.group.episodes.map(({ id, calls }, i) => calls.map(() => id ?? `${k}/${i}`)),
      })),
  } satisfies AdvantagePart);
}

export const gspoCard: MethodCard = {
  name: "gspo",
  title: "GSPO",
  stage: "method",
  line: "GRPO with one clipped ratio a sequence instead of one a token: steadier over several updates a batch",
  use: 'import { gspo } from "troupe/methods"',
  formula: [
    "A_i = (r_i − mean) / std;   s_i = exp(1/|o_i| Σ_t (ℓ_t − ℓ_old,t))",
    "L = 1/N Σ_i max(−A_i s_i, −A_i clip(s_i, 1 − ε_low, 1 + ε_high))",
  ],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN" },
    clipLow: { value: 3e-4, source: "paper, §5.1" },
    clipHigh: { value: 4e-4, source: "paper, §5.1" },
    form: { value: "sequence", source: "paper" },
    over: { value: "call", source: "CHOSEN: a call is a sequence" },
    ddof: { value: 0, source: "paper" },
    epochs: { value: 1, source: "paper" },
    minibatches: { value: 1, source: "CHOSEN; the paper has 4" },
  },
  source: "Zheng et al. (arXiv 2507.18071)",
};
