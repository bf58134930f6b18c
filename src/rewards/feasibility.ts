/**
 * @file Which episodes keep all constraints, as a reward that marks those which do not: −cost if any is broken, else 0.
 * Source: the mixture of judges of CGPO, "The Perfect Blend" (arXiv 2409.20370), §3: rules and language models label each response
 * as feasible or not, and a response is feasible if all of them say so. CHOSEN: cost 1.
 * What is made of the mark is the method's: `crpg`, `crraft` and `codpo` look for the name "infeasible".
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { asLogged, combination, totalOf } from "./combine.ts";
import { rewardFailure } from "./failures.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { wrongRewardSetting } from "./setting.ts";
import { named } from "./sum.ts";
import { reward } from "./terms.ts";

const defaults = { cost: 1 } as const;

/** A rule: whether it is kept. Or a term, such as a judge, that is kept where its sum in the episode is at least τ. */
export type Constraint<Task = UntypedTask> =
  | ((episode: FinishedEpisode<Task>) => boolean | Promise<boolean>)
  | { readonly term: RewardTerm<Task>; readonly atLeast: number };

/**
 * Logged under each constraint's key: 1 or 0 of a rule, the value of a term; and `<name>.broken`, how many are broken. An
 * episode in which a constraint says nothing fails: it is neither feasible nor not.
 * @throws RewardDefinitionError
 *
 * @example
 * const mark = infeasible({ short: ({ result }) => String(result).length < 900, safe: { term: judge("safe_raw", { … }), atLeast: 0.5 } });
 */
export function infeasible<Task = UntypedTask>(
  constraints: Readonly<Record<string, Constraint<NoInfer<Task>>>>,
  {
    name = "infeasible",
    cost = defaults.cost,
  }: {
    readonly name?: string;
    /** What an infeasible episode's reward is lowered by, above 0. Default 1 (CHOSEN). */
    readonly cost?: number;
  } = {},
): RewardTerm<Task> {
  if (!(cost > 0 && Number.isFinite(cost)))
    throw wrongRewardSetting(`Reward "${name}"`, "cost", cost, "a finite number above 0");
  const entries = Object.entries(constraints).map(([key, constraint]) => {
    if (typeof constraint === "function") return { part: rule<Task>(key, constraint), atLeast: 1 };
    const { term, atLeast } = constraint;
    if (!Number.isFinite(atLeast))
      throw wrongRewardSetting(
        `Constraint "${key}" of reward "${name}"`,
        "atLeast",
        atLeast,
        "a finite number",
      );
    return { part: named(key, term), atLeast };
  });
  return combination({
    name,
    parts: entries.map(({ part }) => part),
    combine: (records, { trajectory }) => {
      let broken = 0;
      for (const [j, own] of records.entries()) {
        const { part, atLeast } = entries[j]!;
        if (!own.some(({ logged }) => logged !== true)) {
          const failure = rewardFailure(part.name, trajectory, {
            code: "E_REWARD_MISSING",
            says: `is a constraint of "${name}", and has no value in this episode.`,
            hint: "use a term that says something of every episode.",
          });
          return { failure };
        }
        if (totalOf(own) < atLeast) broken++;
      }
      return [
        { name, value: broken === 0 ? 0 : -cost },
        ...records.flatMap(asLogged),
        { name: `${name}.broken`, value: broken, logged: true },
      ];
    },
  });
}

function rule<Task>(
  key: string,
  isKept: (episode: FinishedEpisode<Task>) => boolean | Promise<boolean>,
): RewardTerm<Task> {
  return reward<Task>(key, async (episode) => {
    const kept: unknown = await isKept(episode);
    if (typeof kept === "boolean") return kept ? 1 : 0;
    throw new TypeError(
      `the rule returned ${kept === undefined ? "undefined" : `a ${typeof kept}`}, not true or false`,
    );
  });
}

export const feasibilityCard: MethodCard = {
  name: "feasibility",
  title: "Feasibility by a mixture of judges (CGPO)",
  stage: "reward",
  line: "marks episodes that break a rule or fail a judge, for methods that learn only from those which keep all",
  use: 'import { infeasible, sideBySide } from "troupe/rewards"',
  formula: ["−cost if any constraint is broken, else 0"],
  defaults: { cost: { value: defaults.cost, source: "CHOSEN" } },
  source: "CGPO, arXiv 2409.20370, §3",
};
