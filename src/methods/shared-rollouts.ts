/**
 * @file Naive sharing: all teams' episodes of a task are one group, and every policy trains with GSPO on all of their calls
 * as if it had sampled them,
 *
 *   A = (r − mean) / std over all episodes;   s against the learner's own log-probs before the update, for foreign calls too
 *
 * A baseline to compare HACPO with, which the paper finds to be worse than no sharing: nothing says that a text is not the
 * learner's own, so it imitates whatever is better than the mean, however unlikely it finds it.
 *
 * Source: "naive sharing" in HACPO's experiments (arXiv 2603.02604), RECONSTRUCTED from its description. CHOSEN: baselines
 * apart by agent, as in HACPO here. GSPO with double the episodes needs nothing: `gspo({ groupSize: 16 })`.
 */

import { groupAdvantage } from "./advantage/group.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { perAgent } from "./credit/per-agent.ts";
import { foreignCalls } from "./foreign-calls.ts";
import { sequenceRatio } from "./loss/gspo.ts";
import type { Method } from "./method.ts";
import type { AdvantagePart, JudgedGroup } from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";

export interface SharedRolloutsSettings {
  /** Episodes of each team per task. Default 8 (HACPO's). */
  readonly groupSize?: number;
  /** ε_low. Default 3e-4 (GSPO's). */
  readonly clipLow?: number;
  /** ε_high. Default 4e-4 (GSPO's). */
  readonly clipHigh?: number;
  /** Default 1, as in HACPO. */
  readonly ddof?: 0 | 1;
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 4, as in HACPO. */
  readonly minibatches?: number;
}

/**
 * @example
 * train({ …, teams: { small: { solver: "small" }, large: { solver: "large" } }, method: sharedRollouts() });
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function sharedRollouts(given: SharedRolloutsSettings = {}): Method {
  const { groupSize = 8, clipLow = 3e-4, clipHigh = 4e-4, ddof = 1, epochs = 1, minibatches = 4 } = given;
  return compose({
    name: "shared-rollouts",
    sampler: fixedGroups<number>(groupSize),
    credit: perAgent(),
    advantage: sharedWithAll(groupAdvantage({ ddof })),
    loss: sequenceRatio({ clipLow, clipHigh }),
    epochs,
    minibatches,
  });
}

/** The same advantages, with every call given to the other policies of its agent. */
function sharedWithAll(advantage: AdvantagePart): AdvantagePart {
  return Object.freeze({
    ...advantage,
    advantages: (groups: readonly JudgedGroup[]) =>
      advantage.advantages(groups).map((credit, k) => ({
        ...credit,
        given: foreignCalls(groups[k]!).map(({ episode, call, learner }) => ({
          ...{ episode, call, policy: learner },
          advantage: credit.advantages[episode]![call]!,
        })),
      })),
  } satisfies AdvantagePart);
}

export const sharedRolloutsCard: MethodCard = {
  name: "shared-rollouts",
  title: "Naive sharing",
  stage: "method",
  line: "GSPO on all teams' episodes as if each policy had sampled them: a baseline for HACPO, expected to be worse",
  use: 'import { sharedRollouts } from "troupe/methods"',
  formula: [
    "A = (r − mean) / (std + ε) over all teams' episodes of the task",
    "L = GSPO's on own and foreign calls alike, ℓ_old the learner's own",
  ],
  defaults: {
    groupSize: { value: 8, source: "HACPO, appendix A: of each policy" },
    clipLow: { value: 3e-4, source: "GSPO, §5.1" },
    clipHigh: { value: 4e-4, source: "GSPO, §5.1" },
    ddof: { value: 1, source: "as hacpo() has it" },
    epochs: { value: 1, source: "HACPO, appendix A" },
    minibatches: { value: 4, source: "as hacpo() has it" },
  },
  source: '"Naive sharing" in HACPO (arXiv 2603.02604)',
  notes: ["RECONSTRUCTED: foreign calls are compared with the learner's own log-probs before the update"],
};
