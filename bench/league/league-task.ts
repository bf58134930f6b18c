/**
 * @file What the league asks of a task: a team, its tasks apart for training and for the test, a policy to begin with, and
 * the settings that all methods share. A method brings nothing but itself and its learning rate.
 */

import { type RunSummary, type TrainControl, type TrainOptions, train } from "troupe";

/** Seeds on which sizes and learning rates were chosen; the league's own are 1 to 5. */
export const tuningSeeds = [101, 102] as const;
export const leagueSeeds = [1, 2, 3, 4, 5] as const;

/** What a run has of its own. */
export interface Own
  extends Required<
    Pick<
      TrainOptions<never>,
      | "method"
      | "steps"
      | "tokenBudget"
      | "tasksPerStep"
      | "seed"
      | "learningRate"
      | "run"
      | "runsFolder"
      | "evaluateEvery"
    >
  > {
  /** Value heads that the method asks for. */
  readonly valueHeads: number;
}

export interface LeagueTask {
  readonly name: string;
  readonly title: string;
  /** The metric that counts, of a greedy evaluation on held-out tasks. */
  readonly score: string;
  /** Tokens that a run may sample for training. */
  readonly budget: number;
  /** What a step of every method is meant to sample, in episodes. */
  readonly episodesPerStep: number;
  /** Sampled tokens of an episode before training, about. */
  readonly tokensPerEpisode: number;
  /** Optimiser steps that every method takes with each batch, going through it once. With 1 no ratio would leave 1. */
  readonly minibatches: number;
  /** Constant learning rates, of which each method takes its best on the tuning seeds; the middle one for GRPO. */
  readonly rates: readonly [number, number, number];
  /** On which each method's rate is chosen. Default: all of `tuningSeeds`. */
  readonly tuningSeeds?: readonly number[];
  /** Steps between the points of a learning curve. */
  readonly evaluateEvery: number;
  start(own: Own, control: TrainControl): Promise<RunSummary>;
}

/** The options that a task decides. */
export type TaskOptions<Task> = Omit<
  TrainOptions<Task>,
  | keyof Own
  // The league records scores; a run that is looked at closer is repeated with `troupe train`.
  | "recordEpisodesEvery"
  | "checkpointEvery"
>;

export function leagueTask<Task>(
  facts: Omit<LeagueTask, "start">,
  options: (valueHeads: number) => TaskOptions<Task>,
): LeagueTask {
  return {
    ...facts,
    start: ({ valueHeads, ...own }, control) =>
      train({ ...options(valueHeads), ...own, recordEpisodesEvery: 0, checkpointEvery: 0 }, control),
  };
}
