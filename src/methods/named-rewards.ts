/** @file Rewards by their names, as methods with several of them see a step. */

import { LossError } from "./errors.ts";
import type { RewardedEpisode, RewardedGroup } from "./method.ts";

/**
 * What an episode got of one named reward: the mean over its calls that have it; of an episode without such calls, its
 * own. undefined: it has none of that name.
 */
export function namedReward({ calls, terms }: RewardedEpisode, name: string): number | undefined {
  const found = calls.flatMap((call) => call.terms?.[name] ?? []);
  return found.length === 0 ? terms?.[name] : found.reduce((sum, value) => sum + value, 0) / found.length;
}

/**
 * [names] mean over the episodes of a step that have it. 0 for all without episodes.
 * @throws LossError E_NAMED_REWARD if no episode has it: a misspelled name must not look like a reward of 0.
 */
export function requireNamedRewards(
  method: string,
  groups: readonly RewardedGroup[],
  names: readonly string[],
): readonly number[] {
  const episodes = groups.flatMap((group) => group.episodes);
  return names.map((name) => {
    const found = episodes.flatMap((episode) => namedReward(episode, name) ?? []);
    if (found.length > 0 || episodes.length === 0)
      return found.reduce((sum, value) => sum + value, 0) / Math.max(1, found.length);
    const there = new Set(
      episodes
        .flatMap(({ terms = {}, calls }) => [terms, ...calls.map((call) => call.terms ?? {})])
        .flatMap(Object.keys),
    );
    throw new LossError({
      code: "E_NAMED_REWARD",
      message: `${method} needs a reward named "${name}", and no episode of this step has one; rewards there are: ${[...there].join(", ") || "none with a name"}.`,
      hint: "give the reward that name, or correct the name in the method's settings.",
      facts: { method, name, there: [...there] },
    });
  });
}
