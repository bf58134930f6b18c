/**
 * @file Effective actions: R = R_outcome · N_eff / N, N actions issued, of which N_eff changed the state. Acting to no
 * effect costs, so an agent learns to think ahead.
 * Source: WMAct (arXiv 2511.23476). Read through detailed notes. CHOSEN: without actions R is 0. Its cap on turns is `turn-cap.ts`.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { changed, combination, totalOf } from "./combine.ts";
import { rewardFailure } from "./failures.ts";
import type { RewardFunction, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { reward } from "./terms.ts";

/**
 * N_eff / N in [0, 1]; 0 without actions (CHOSEN).
 * @throws RewardDefinitionError unless 0 ≤ N_eff ≤ N
 */
export function effectiveShare(effective: number, issued: number): number {
  checkFinite("An effective share", "a count", [effective, issued]);
  if (!(effective >= 0 && effective <= issued))
    throw wrongRewardSetting(
      "An effective share",
      "effective actions",
      effective,
      `from 0 to the ${issued} issued`,
    );
  return issued === 0 ? 0 : effective / issued;
}

export interface EffectiveActionsOptions<Task> {
  /** N_eff: actions that changed the state. */
  readonly effective: RewardFunction<Task>;
  /** N: actions that were issued. Default: tool uses, failed ones too. */
  readonly issued?: RewardFunction<Task>;
  /** Default `effective(<term>)`. */
  readonly name?: string;
}

/**
 * Each value of the outcome, at its own place, times the episode's effective share. Both counts are logged. A negative
 * outcome is moved towards 0 by it, so give it terms that are not negative.
 *
 * @example
 * const reward = effectiveActions(solved, { effective: ({ result }) => (result as Walk).moved, issued: ({ result }) => (result as Walk).tried });
 */
export function effectiveActions<Task = UntypedTask>(
  outcome: RewardTerm<Task>,
  {
    effective,
    issued = allTools,
    name = `effective(${outcome.name})`,
  }: EffectiveActionsOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  return combination({
    name,
    parts: [outcome, reward<Task>(`${name}.actions`, effective), reward<Task>(`${name}.issued`, issued)],
    combine: ([records, some, all], { trajectory }) => {
      const [useful, tried] = [totalOf(some!), totalOf(all!)];
      if (!(useful >= 0 && useful <= tried)) {
        const failure = rewardFailure(name, trajectory, {
          code: "E_REWARD_COUNT",
          says: `counts ${useful} effective actions of ${tried}.`,
          hint: "count in `effective` a part of what `issued` counts.",
        });
        return { failure };
      }
      const share = effectiveShare(useful, tried);
      const counts = [...some!, ...all!].map((record) => ({ ...record, logged: true as const }));
      return [...changed(name, records!, (value) => value * share), ...counts];
    },
  });
}

const allTools: RewardFunction<unknown> = ({ trajectory }) => trajectory.tools.length;

export const effectiveActionsCard: MethodCard = {
  name: "effective-actions",
  title: "Effective actions (WMAct)",
  stage: "reward",
  line: "scales the outcome by the share of actions that changed something: trying blindly costs",
  use: 'import { effectiveActions } from "troupe/rewards"',
  formula: ["R = R_outcome · N_eff / N; N = 0: 0"],
  defaults: {},
  source: "WMAct, arXiv 2511.23476",
  notes: ["CHOSEN: R = 0 without actions."],
};
