/**
 * @file Which episode of a task R³ reflects on: where a task's remembered episodes are right too seldom, one of its wrong
 * ones is shown to the policy again, with the task and an instruction to reflect.
 *
 * Source: R³ (arXiv 2601.19620). CHOSEN: τ = 0.5 (not found), and right is a reward of at least 1. What
 * the policy is shown is the run's to say (`TrainOptions.reflect`).
 */

import type { RememberedEpisode } from "./method.ts";

export interface ReflectionSettings {
  /** τ: tasks whose mean reward is below it are reflected on. Default 0.5. */
  readonly below?: number;
  /** The least reward of a right episode. Default 1. */
  readonly right?: number;
}

/** A wrong episode to reflect on, drawn evenly; undefined if the task is solved often enough, or none is wrong. */
export function toReflectOn(
  remembered: readonly RememberedEpisode[],
  random: { integer(below: number): number },
  { below = 0.5, right = 1 }: ReflectionSettings = {},
): RememberedEpisode | undefined {
  const mean = remembered.reduce((sum, { reward }) => sum + reward, 0) / remembered.length;
  const wrong = remembered.filter(({ reward }) => reward < right);
  return mean < below && wrong.length > 0 ? wrong[random.integer(wrong.length)] : undefined;
}
