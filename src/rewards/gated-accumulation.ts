/**
 * @file Gated reward accumulation (G-RA): R = R⁽¹⁾ + Σ_{i>1} R⁽ⁱ⁾ · Π_{j<i} 1[R⁽ʲ⁾ > δ_j], levels from the most important (the
 * outcome) to the least (format, tool validity). What is easy to earn counts only once what matters was reached.
 * Source: arXiv 2508.10548, for software engineering over many turns. Read through notes, not the paper.
 * Changed: the paper counts its levels from the lowest up; here the first is the most important. CHOSEN: δ = 0, and a
 * level's value is the sum of everything that its term gave in the episode.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { asLogged, byPlace, combination, totalOf } from "./combine.ts";
import { rewardFailure } from "./failures.ts";
import type { RewardTerm } from "./reward.ts";
import { checkFinite } from "./setting.ts";

/** δ where none is given. */
const defaultAbove = 0;

export interface RewardLevel<Task = UntypedTask> {
  readonly term: RewardTerm<Task>;
  /** δ: the levels after this one count where its value is above. Default 0 (CHOSEN). Without effect on the last level. */
  readonly above?: number;
  /** Whether it lets through where the term says nothing, for example of calls that were not made. Default: the episode fails. */
  readonly ifAbsent?: boolean;
}

/**
 * R of one episode.
 * @param levels [n] values, most important first; [] is 0
 * @param above δ, one for all or [n]. Default 0
 * @throws RewardDefinitionError if a number is not finite or a δ is missing
 */
export function gatedSum(
  levels: readonly number[],
  above: number | readonly number[] = defaultAbove,
): number {
  checkFinite("A gated sum", "the level", levels);
  const thresholds = typeof above === "number" ? levels.map(() => above) : above;
  checkFinite(
    "A gated sum",
    "the threshold",
    [...levels.keys()].map((i) => thresholds[i] ?? Number.NaN),
  );
  let total = 0;
  for (const [i, value] of levels.entries()) {
    total += value;
    if (!(value > thresholds[i]!)) break;
  }
  return total;
}

/**
 * Records stay where their terms put them: a reward of a call stays with that call. `<name>.open` in the logs is the number
 * of levels that counted.
 * @throws RewardDefinitionError if there is no level, or a δ is not finite
 *
 * @example
 * const reward = gatedAccumulation([{ term: solved }, { term: patched, above: 0.5 }, { term: parsed("format") }]);
 */
export function gatedAccumulation<Task = UntypedTask>(
  levels: readonly RewardLevel<Task>[],
  { name = "accumulated" }: { readonly name?: string } = {},
): RewardTerm<Task> {
  checkFinite(
    `Reward "${name}"`,
    "the threshold",
    levels.map(({ above = defaultAbove }) => above),
  );
  return combination({
    name,
    parts: levels.map(({ term }) => term),
    combine: (records, { trajectory }) => {
      let open = 0;
      for (const [i, own] of records.entries()) {
        open = i + 1;
        if (open === records.length) break;
        const { term, above = defaultAbove, ifAbsent } = levels[i]!;
        if (own.some(({ logged }) => logged !== true)) {
          if (!(totalOf(own) > above)) break;
        } else if (ifAbsent === undefined) {
          const failure = rewardFailure(term.name, trajectory, {
            code: "E_REWARD_MISSING",
            says: `is level ${i + 1} of "${name}", and has no value in this episode.`,
            hint: "use a term that says something of every episode, or set `ifAbsent` of the level.",
          });
          return { failure };
        } else if (!ifAbsent) break;
      }
      // What is closed is worth 0 where it was given, so that a call which only it rewards is not without a reward.
      const values = records.flatMap((own, i) =>
        byPlace(name, own).map((record) => (i < open ? record : { ...record, value: 0 })),
      );
      return [
        ...byPlace(name, values),
        ...records.flatMap(asLogged),
        { name: `${name}.open`, value: open, logged: true },
      ];
    },
  });
}

export const gatedAccumulationCard: MethodCard = {
  name: "gated-accumulation",
  title: "Gated reward accumulation (G-RA)",
  stage: "reward",
  line: "rewards in levels: a lower one counts only where all above it were reached; against earning format alone",
  use: 'import { gatedAccumulation } from "troupe/rewards"',
  formula: ["R = R⁽¹⁾ + Σ_{i>1} R⁽ⁱ⁾ · Π_{j<i} 1[R⁽ʲ⁾ > δ_j], most important first"],
  defaults: { above: { value: defaultAbove, source: "CHOSEN" } },
  source: "G-RA, arXiv 2508.10548",
  notes: ["Levels are counted from the most important down; the paper counts them up."],
};
