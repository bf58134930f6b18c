/** @file How a method says what is sampled next, once it has seen rewards: wave by wave within a step. */

import type { RewardedGroup } from "./rewarded-group.ts";

/** What a sampler may ask for, after a wave of episodes has been rewarded. Closed. */
export type SamplingRequest =
  /** More episodes of a group's task. */
  | { readonly kind: "episodes"; readonly group: number; readonly count: number }
  /** A branch of an episode: it is replayed up to call `at`, which is sampled anew, with all that follows. */
  | { readonly kind: "branch"; readonly group: number; readonly episode: number; readonly at: number }
  /** Another task, as a group of its own with `groupSize` episodes. */
  | { readonly kind: "task" }
  /** The group is not trained on; what was sampled of it counts in the budget. */
  | { readonly kind: "drop"; readonly group: number }
  /** A remembered episode joins the group. */
  | { readonly kind: "recall"; readonly group: number; readonly episode: string }
  /**
   * A remembered episode is shown to the team again: a group of its own, of the task that the run's `reflect` makes of the
   * group's task and the episode.
   */
  | { readonly kind: "reflect"; readonly group: number; readonly episode: string }
  /** An episode leaves its group; it is not trained on, nor compared with. */
  | { readonly kind: "omit"; readonly group: number; readonly episode: number };

export interface RememberedEpisode {
  readonly id: string;
  readonly step: number;
  readonly reward: number;
}

export interface SamplingView {
  readonly step: number;
  /** Waves sampled so far, from 1. */
  readonly wave: number;
  /** Groups that a step is meant to have. */
  readonly tasksPerStep: number;
  /** In the order in which they were begun; a dropped one stays in its place. */
  readonly groups: readonly (RewardedGroup & { readonly dropped: boolean })[];
  /** What is remembered of a task, oldest first. */
  readonly remembered: (task: string) => readonly RememberedEpisode[];
  /** Keyed by seed, step and wave. */
  readonly random: { integer(below: number): number };
}

/** Decides what is sampled in a step, wave by wave, from rewards. */
export interface GroupSampler {
  readonly name: string;
  /** Episodes per task in the first wave. */
  readonly groupSize: number;
  /** What comes next; none: it is enough. Pure. */
  next(view: SamplingView): readonly SamplingRequest[];
  /** It may ask for `reflect`, so the run must say how (`TrainOptions.reflect`). Default false. */
  readonly reflects?: boolean;
  /** [episodes] which of a group that was trained on are to be remembered; the newest `capacity` a task stay. */
  readonly memory?: {
    readonly capacity: number;
    readonly keep: (group: RewardedGroup) => readonly boolean[];
  };
}
