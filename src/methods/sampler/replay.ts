/**
 * @file Replay of what a group lacks: a group that is all wrong is given right episodes of earlier steps, one that is all
 * right is given wrong ones, as soon as any are remembered. So it has something to be compared with.
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: one episode at a time (the paper's k was not found); right is a reward of at least
 * 1; only groups that have both are remembered, and of each as many right as wrong ones, so that neither kind crowds the
 * other out of the memory.
 */

import type { MethodCard } from "../card.ts";
import type { RewardedGroup, SamplingRequest, SamplingView } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { SamplerPart } from "../parts.ts";

export interface ReplaySettings {
  /** Episodes a task. Default 8. */
  readonly groupSize?: number;
  /** k, remembered episodes that join a group. Default 1. */
  readonly count?: number;
  /** Episodes that are remembered a task, right and wrong ones together. Default 8. */
  readonly remembered?: number;
  /** The least reward of a right episode. Default 1. */
  readonly right?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function replay(given: ReplaySettings = {}): SamplerPart & { readonly samples: "group" } {
  const settings: Required<ReplaySettings> = { groupSize: 8, count: 1, remembered: 8, right: 1, ...given };
  const { groupSize, count, remembered, right } = settings;
  checkNumber("replay", "groupSize", groupSize, { integer: true, least: 2 });
  checkNumber("replay", "count", count, { integer: true, least: 1 });
  checkNumber("replay", "remembered", remembered, { integer: true, least: 2 });
  checkNumber("replay", "right", right);
  const isRight = ({ reward }: { readonly reward: number }) => reward >= right;
  const next = ({ groups, wave, remembered: known, random }: SamplingView): readonly SamplingRequest[] =>
    wave > 1
      ? []
      : groups.flatMap(({ episodes, dropped, task }, group): readonly SamplingRequest[] => {
          const outcomes = new Set(episodes.map(isRight));
          if (dropped || outcomes.size !== 1) return [];
          const lacking = known(task).filter((one) => !outcomes.has(isRight(one)));
          const chosen = Array.from({ length: Math.min(count, lacking.length) }, () => {
            const [one] = lacking.splice(random.integer(lacking.length), 1);
            return one!;
          });
          return chosen.map(({ id }) => ({ kind: "recall", group, episode: id }));
        });
  return Object.freeze({
    stage: "sampler",
    name: "replay",
    samples: "group",
    settings,
    groupSize,
    next,
    memory: { capacity: remembered, keep: (group) => worthKeeping(group, isRight) },
  } satisfies SamplerPart);
}

/** [episodes] as many right as wrong ones of those that were sampled now, the first of each. */
function worthKeeping(
  { episodes }: RewardedGroup,
  isRight: (episode: { readonly reward: number }) => boolean,
): readonly boolean[] {
  const outcomes = episodes.map((episode) => (episode.recalled === true ? undefined : isRight(episode)));
  const right = outcomes.filter((outcome) => outcome === true).length;
  const wrong = outcomes.filter((outcome) => outcome === false).length;
  const left = new Map([true, false].map((outcome) => [outcome, Math.min(right, wrong)]));
  return outcomes.map((outcome) => {
    if (outcome === undefined) return false;
    const more = left.get(outcome)!;
    left.set(outcome, more - 1);
    return more > 0;
  });
}

export const replayCard: MethodCard = {
  name: "replay",
  title: "Replay",
  stage: "sampler",
  line: "a group that is all wrong recalls right episodes, one that is all right recalls wrong ones",
  use: 'import { replay } from "troupe/methods"',
  formula: ["all of a group the same: + k remembered episodes of the other kind"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN: as elsewhere here" },
    count: { value: 1, source: "CHOSEN: k was not found" },
    remembered: { value: 8, source: "CHOSEN: the paper does not say" },
    right: { value: 1, source: "CHOSEN: rewards of 0 and 1" },
  },
  source: "R³ (arXiv 2601.19620)",
  notes: ["CHOSEN: as many right as wrong ones are remembered, of groups that have both"],
};
