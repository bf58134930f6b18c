/**
 * @file Several rewards side by side: they add up, as in a sum, and each keeps its name, so that methods which treat them
 * apart can tell them apart (`RewardedEpisode.terms`): constraints with multipliers, marks of broken rules, baselines.
 */

import type { RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { byPlace, combination } from "./combine.ts";
import type { RewardTerm } from "./reward.ts";
import { named, type TermOrFunction } from "./sum.ts";

/**
 * R = Σ_j r_j, the part of each under its key. `name` is for messages alone: there is no record of it.
 * @throws RewardDefinitionError if there are no terms, or two of one name
 *
 * @example
 * const rewards = sideBySide({ helpful, harmless, infeasible: infeasible({ short: ({ result }) => String(result).length < 900 }) });
 */
export function sideBySide<Task = UntypedTask>(
  terms: Readonly<Record<string, TermOrFunction<Task>>>,
  { name = "rewards" }: { readonly name?: string } = {},
): RewardTerm<Task> {
  const parts = Object.entries(terms).map(([key, term]) => named(key, term));
  const isLogged = ({ logged }: RewardRecord) => logged === true;
  return combination({
    name,
    parts,
    combine: (records) =>
      records.flatMap((own, j) => [...byPlace(parts[j]!.name, own), ...own.filter(isLogged)]),
  });
}
