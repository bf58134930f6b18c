/**
 * @file Gates: the primary reward counts only where every condition is met, R = r · Π_j 1[c_j ≥ τ_j].
 * Source: RecGPT-V2 (arXiv 2512.14503), where gating secondary rewards beat summing them (HR@30 32.6 against 27.4).
 * Also here: a group whose results are all equal earns nothing (DynamicRAG, arXiv 2505.07233).
 */

import type { UntypedTask } from "../workflow/workflow.ts";
import { scoreChecked } from "./checked.ts";
import { asLogged, changed, checkParts, combination, partsMemory, totalOf } from "./combine.ts";
import { isFailed, rewardFailure } from "./failures.ts";
import {
  type FinishedEpisode,
  RewardDefinitionError,
  type RewardTerm,
  type ScoredEpisode,
} from "./reward.ts";

/** Met if the sum of the term's values in the episode, whatever their place, is at least τ. */
export interface Condition<Task = UntypedTask> {
  readonly term: RewardTerm<Task>;
  /** τ */
  readonly atLeast: number;
  /** Whether it is met where the term says nothing, for example of calls that were not made. Default: the episode fails. */
  readonly ifAbsent?: boolean;
}

/**
 * @example
 * const careful = gate(recall, [{ term: diversity, atLeast: 0.3 }, { term: parsed("format"), atLeast: 0 }]);
 */
export function gate<Task = UntypedTask>(
  primary: RewardTerm<Task>,
  conditions: readonly Condition<Task>[],
  { name = `gate(${primary.name})` }: { readonly name?: string } = {},
): RewardTerm<Task> {
  for (const { term, atLeast } of conditions) {
    if (Number.isFinite(atLeast)) continue;
    throw new RewardDefinitionError({
      code: "E_REWARD_THRESHOLD",
      message: `Gate "${name}" asks "${term.name}" to be at least ${atLeast}, which is not a finite number.`,
    });
  }
  return combination({
    name,
    parts: [primary, ...conditions.map(({ term }) => term)],
    combine: ([first, ...others], { trajectory }) => {
      let open = true;
      for (const [j, records] of others.entries()) {
        const { term, atLeast, ifAbsent } = conditions[j]!;
        if (!records.some(({ logged }) => logged !== true)) {
          if (ifAbsent !== undefined) {
            open &&= ifAbsent;
            continue;
          }
          const failure = rewardFailure(term.name, trajectory, {
            code: "E_REWARD_MISSING",
            says: `is a condition of "${name}", and has no value in this episode.`,
            hint: "use a term that says something of every episode, or set `ifAbsent` of the condition.",
          });
          return { failure };
        }
        if (totalOf(records) < atLeast) open = false;
      }
      return [...changed(name, first!, (value) => (open ? value : 0)), ...others.flatMap(asLogged)];
    },
  });
}

/**
 * Zero for a whole group if all its complete episodes came to the same result; a group of one keeps its reward.
 *
 * `by` names what is compared. Default: the result as JSON, which is DynamicRAG's rule; "reward" compares the term's own
 * totals, which is GRPO's filter of groups without variance.
 */
export function allEqualToZero<Task = UntypedTask>(
  term: RewardTerm<Task>,
  {
    name = `differing(${term.name})`,
    by = "result",
  }: {
    readonly name?: string;
    readonly by?: "result" | "reward" | ((episode: FinishedEpisode<NoInfer<Task>>) => unknown);
  } = {},
): RewardTerm<Task> {
  checkParts(name, [term]);
  return {
    name,
    parts: [term],
    async score(group, context) {
      const scored = await scoreChecked(term, group, context);
      const values = scored.flatMap((one, i) => {
        if (isFailed(one)) return [];
        const episode = group[i]!;
        const value = by === "reward" ? totalOf(one.rewards) : by === "result" ? episode.result : by(episode);
        return [JSON.stringify(value) ?? "undefined"];
      });
      const same = values.length > 1 && values.every((value) => value === values[0]);
      return scored.map(
        (one): ScoredEpisode =>
          isFailed(one) ? one : { rewards: changed(name, one.rewards, (value) => (same ? 0 : value)) },
      );
    },
    ...partsMemory(name, [term]),
  };
}
