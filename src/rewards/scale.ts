/** @file One term, its values changed one by one: clipped, or discounted by what the episode cost. */

import type { UntypedTask } from "../workflow/workflow.ts";
import { scoreChecked } from "./checked.ts";
import { changed, checkParts, combination, partsMemory } from "./combine.ts";
import { faultOf, isFailed, rewardFailure, threw, underDeadline } from "./failures.ts";
import {
  type FinishedEpisode,
  RewardDefinitionError,
  type RewardFunction,
  type RewardTerm,
  type ScoredEpisode,
} from "./reward.ts";

/** Values at each place limited to [low, high]. Default: no limit on that side. */
export function clip<Task = UntypedTask>(
  term: RewardTerm<Task>,
  {
    low = Number.NEGATIVE_INFINITY,
    high = Number.POSITIVE_INFINITY,
    name = `clip(${term.name})`,
  }: { readonly low?: number; readonly high?: number; readonly name?: string },
): RewardTerm<Task> {
  if (!(low <= high)) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" is clipped to [${low}, ${high}], which is no range.`,
    });
  }
  return combination({
    name,
    parts: [term],
    combine: ([records]) => changed(name, records!, (value) => Math.min(high, Math.max(low, value))),
  });
}

export interface CostDiscountOptions<Task> {
  /** n ≥ 0: calls, tool uses, tokens, dollars. For example `({ trajectory }) => trajectory.tools.length`. */
  readonly cost: RewardFunction<Task>;
  /** a > 0. Default 1 (CHOSEN; the paper's constant was not found). */
  readonly scale?: number;
  /** b ≥ 0. Default 0.1 (CHOSEN). */
  readonly rate?: number;
  readonly name?: string;
}

/**
 * r · a · e^{−b·n}: the more an episode used, the less its reward counts. Source: the cost-aware F1 of GraphRAG-R1 (Yu et
 * al., arXiv 2507.23581), against searching too much. RECONSTRUCTED from a public summary. A negative reward is moved
 * towards 0 by it as well, so give it terms that are not negative.
 */
export function costDiscount<Task = UntypedTask>(
  term: RewardTerm<Task>,
  { cost, scale = 1, rate = 0.1, name = `discounted(${term.name})` }: CostDiscountOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  if (!(scale > 0 && Number.isFinite(scale) && rate >= 0 && Number.isFinite(rate))) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" has scale ${scale} and rate ${rate}; the scale must be above 0, the rate at least 0.`,
    });
  }
  checkParts(name, [term]);
  return {
    name,
    parts: [term],
    async score(group, context) {
      const scored = await scoreChecked(term, group, context);
      return Promise.all(
        scored.map(async (one, i): Promise<ScoredEpisode> => {
          if (isFailed(one)) return one;
          const episode = group[i]!;
          try {
            const n = await underDeadline(context, () => cost(episode, context));
            const fault = faultOf(name, episode.trajectory, n, " for its cost") ?? negative(n, name, episode);
            if (fault !== undefined) return { failure: fault };
            const factor = scale * Math.exp(-rate * n);
            return {
              rewards: [
                ...changed(name, one.rewards, (value) => value * factor),
                { name: `${name}.cost`, value: n, logged: true },
              ],
            };
          } catch (error) {
            return { failure: threw(name, episode.trajectory, error) };
          }
        }),
      );
    },
    ...partsMemory(name, [term]),
  };
}

function negative<Task>(cost: number, name: string, { trajectory }: FinishedEpisode<Task>) {
  if (cost >= 0) return undefined;
  return rewardFailure(name, trajectory, {
    code: "E_REWARD_COST",
    says: `has a cost of ${cost}; a cost is at least 0.`,
    hint: "count something, such as calls or tokens.",
  });
}
