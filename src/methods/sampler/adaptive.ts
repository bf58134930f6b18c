/**
 * @file Adaptive sampling: k episodes of every task, then, stage by stage, k more of those tasks that none of theirs has
 * solved. A task that is unsolved after S stages is given a right episode of an earlier step, if one is remembered, in
 * the place of one of its wrong ones.
 *
 *   expected episodes of a task that is solved with probability p: Σ_{s<S} k (1 − p)^{k s}
 *
 * Easy tasks cost k episodes instead of S k, and hard ones still have something to be compared with.
 *
 * Source: AR3PO (arXiv 2509.25808). CHOSEN: what counts as right, and how many right episodes a task keeps; a failed
 * episode counts as none. The wrong episode and the remembered one are drawn from the step's own stream.
 */

import type { MethodCard } from "../card.ts";
import { type IsCorrect, rewardOfOne, saidOf } from "../correctness.ts";
import type { SamplingRequest, SamplingView } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { SamplerPart } from "../parts.ts";

export interface AdaptiveSettings {
  /** k, episodes a task and stage. Default 4 (AR3PO, inferred from its reported averages). */
  readonly perStage?: number;
  /** S. Default 2 (AR3PO, inferred). */
  readonly stages?: number;
  /** Right episodes that are remembered a task; 0: none, and nothing is recalled. Default 4. */
  readonly remembered?: number;
  /** Default: a trajectory-level reward of at least 1. */
  readonly isCorrect?: IsCorrect;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function adaptive(given: AdaptiveSettings = {}): SamplerPart & { readonly samples: "group" } {
  const { perStage = 4, stages = 2, remembered = 4, isCorrect = rewardOfOne } = given;
  // One episode alone has nothing to be compared with.
  checkNumber("adaptive", "perStage", perStage, { integer: true, least: 1 });
  checkNumber("adaptive", "stages", stages, { integer: true, least: 1 });
  checkNumber("adaptive", "perStage times stages", perStage * stages, { integer: true, least: 2 });
  checkNumber("adaptive", "remembered", remembered, { integer: true, least: 0 });
  const next = ({ groups, wave, remembered: known, random }: SamplingView): readonly SamplingRequest[] =>
    groups.flatMap(({ episodes, dropped, task }, group): readonly SamplingRequest[] => {
      if (dropped || wave > stages || episodes.some(isCorrect)) return [];
      if (wave < stages) return [{ kind: "episodes", group, count: perStage }];
      const right = remembered === 0 ? [] : known(task);
      if (right.length === 0 || episodes.length === 0) return [];
      return [
        { kind: "omit", group, episode: random.integer(episodes.length) },
        { kind: "recall", group, episode: right[random.integer(right.length)]!.id },
      ];
    });
  return Object.freeze({
    stage: "sampler",
    name: "adaptive",
    samples: "group",
    settings: { perStage, stages, remembered, isCorrect: saidOf(isCorrect) },
    groupSize: perStage,
    next,
    ...(remembered === 0
      ? {}
      : {
          memory: {
            capacity: remembered,
            keep: ({ episodes }) => episodes.map(isCorrect),
          },
        }),
  } satisfies SamplerPart);
}

/** Episodes that a task takes in expectation. @param solved p, the share of its episodes that are right. */
export function expectedEpisodes(
  solved: number,
  { perStage = 4, stages = 2 }: Pick<AdaptiveSettings, "perStage" | "stages"> = {},
): number {
  let sum = 0;
  for (let stage = 0; stage < stages; stage++) sum += perStage * (1 - solved) ** (perStage * stage);
  return sum;
}

export const adaptiveCard: MethodCard = {
  name: "adaptive-sampling",
  title: "Adaptive sampling",
  stage: "sampler",
  line: "k episodes, then k more only of unsolved tasks; what stays unsolved recalls a right episode",
  use: 'import { adaptive } from "troupe/methods"',
  formula: [
    "stages of k episodes until one is right",
    "none right after S stages: one wrong episode gives way to a remembered right one",
    "expected episodes at success rate p: Σ_{s<S} k (1 − p)^{k s}",
  ],
  defaults: {
    perStage: { value: 4, source: "inferred from the paper's averages" },
    stages: { value: 2, source: "inferred from the paper's averages" },
    remembered: { value: 4, source: "CHOSEN: the paper does not say" },
    isCorrect: { value: "reward of at least 1", source: "CHOSEN: the paper's rewards are 0 and 1" },
  },
  source: "AR3PO (arXiv 2509.25808)",
  notes: ["CHOSEN: capacity of the memory; what counts as right"],
};
