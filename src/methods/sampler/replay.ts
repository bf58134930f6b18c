/**
 * @file Replay of what a group lacks: a group that is all wrong is given right episodes of earlier steps, one that is all
 * right is given wrong ones, as soon as any are remembered. So it has something to be compared with.
 *
 * Where asked, a task that is solved too seldom is met a second time, with one of its wrong answers to reflect on.
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: one episode at a time (the paper's k was not found); right is a reward of at least
 * 1; only groups that have both are remembered, and of each as many right as wrong ones, so that neither kind crowds the
 * other out of the memory.
 */

import type { MethodCard } from "../card.ts";
import type { RewardedGroup, SamplingRequest, SamplingView } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { SamplerPart } from "../parts.ts";
import { toReflectOn } from "../reflection.ts";

export interface ReplaySettings {
  /** Episodes a task. Default 8. */
  readonly groupSize?: number;
  /** k, remembered episodes that join a group. Default 1. */
  readonly count?: number;
  /** Episodes that are remembered a task, right and wrong ones together. Default 8. */
  readonly remembered?: number;
  /** The least reward of a right episode. Default 1. */
  readonly right?: number;
  /**
   * τ: of a task whose remembered episodes have a lower mean reward, a wrong one is reflected on: one more group, of the task
   * that the run's `reflect` makes of it. false: never. Default false; the paper reflects from its second epoch on.
   */
  readonly reflectBelow?: number | false;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function replay(given: ReplaySettings = {}): SamplerPart & { readonly samples: "group" } {
  const settings: Required<ReplaySettings> = {
    ...{ groupSize: 8, count: 1, remembered: 8, right: 1, reflectBelow: false },
    ...given,
  };
  const { groupSize, count, remembered, right, reflectBelow } = settings;
  checkNumber("replay", "groupSize", groupSize, { integer: true, least: 2 });
  checkNumber("replay", "count", count, { integer: true, least: 1 });
  checkNumber("replay", "remembered", remembered, { integer: true, least: 2 });
  checkNumber("replay", "right", right);
  if (reflectBelow !== false) checkNumber("replay", "reflectBelow", reflectBelow);
  const isRight = ({ reward }: { readonly reward: number }) => reward >= right;
  const recalls = (
    { episodes, task }: RewardedGroup,
    group: number,
    { remembered: known, random }: SamplingView,
  ): readonly SamplingRequest[] => {
    const outcomes = new Set(episodes.map(isRight));
    if (outcomes.size !== 1) return [];
    const lacking = known(task).filter((one) => !outcomes.has(isRight(one)));
    const chosen = Array.from({ length: Math.min(count, lacking.length) }, () => {
      const [one] = lacking.splice(random.integer(lacking.length), 1);
      return one!;
    });
    return chosen.map(({ id }) => ({ kind: "recall", group, episode: id }));
  };
  const reflections = (
    { task }: RewardedGroup,
    group: number,
    { remembered: known, random }: SamplingView,
  ): readonly SamplingRequest[] => {
    if (reflectBelow === false) return [];
    const wrong = toReflectOn(known(task), random, { below: reflectBelow, right });
    return wrong === undefined ? [] : [{ kind: "reflect", group, episode: wrong.id }];
  };
  const next = (view: SamplingView): readonly SamplingRequest[] =>
    view.wave > 1
      ? []
      : view.groups.flatMap((group, place) =>
          group.dropped ? [] : [...recalls(group, place, view), ...reflections(group, place, view)],
        );
  return Object.freeze({
    stage: "sampler",
    name: "replay",
    samples: "group",
    settings,
    groupSize,
    next,
    ...(reflectBelow === false ? {} : { reflects: true }),
    memory: {
      capacity: remembered,
      keep: (group) => worthKeeping(group, isRight, reflectBelow !== false),
    },
  } satisfies SamplerPart);
}

/**
 * [episodes] as many right as wrong ones of those that were sampled now, the first of each; of a group that is all wrong the
 * first, where wrong ones are reflected on. Of reflections none: their task comes once.
 */
function worthKeeping(
  { episodes, reflection }: RewardedGroup,
  isRight: (episode: { readonly reward: number }) => boolean,
  reflects: boolean,
): readonly boolean[] {
  if (reflection === true) return episodes.map(() => false);
  const outcomes = episodes.map((episode) => (episode.recalled === true ? undefined : isRight(episode)));
  const right = outcomes.filter((outcome) => outcome === true).length;
  const wrong = outcomes.filter((outcome) => outcome === false).length;
  const kept = Math.min(right, wrong);
  const left = new Map([
    [true, kept],
    [false, reflects && right === 0 ? 1 : kept],
  ]);
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
    reflectBelow: {
      value: false,
      source: "CHOSEN: the run must say how; the paper reflects, its τ was not found",
    },
  },
  source: "R³ (arXiv 2601.19620)",
  notes: ["CHOSEN: as many right as wrong ones are remembered, of groups that have both"],
};
