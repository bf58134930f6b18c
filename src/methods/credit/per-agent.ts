/**
 * @file Baselines apart by agent, or by agent and turn: what a call is rewarded with is compared with the calls of the
 * same agent only, for teams whose agents are rewarded differently, or are differently far from the outcome.
 *
 *   A_c = (r_c − mean_a) / std_a over the group's values of agent a          (Dr. MAS)
 *   the same over agent a's k-th calls                                        (AT-GRPO)
 *
 * Source: Dr. MAS (arXiv 2602.08847): one deviation for all agents makes the gradients of some explode; AT-GRPO
 * (2510.11062): agent- and turn-wise groups, since only calls with the same prompt role and turn are alike.
 */

import type { MethodCard } from "../card.ts";
import type { RewardedCall, RewardedGroup } from "../method.ts";
import type { CreditAssigner } from "../parts.ts";

const rewardsOf = ({ episodes }: RewardedGroup) =>
  episodes.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward));

function assigner(
  name: string,
  keyOf: (call: RewardedCall) => string,
): CreditAssigner & { readonly wants?: never } {
  return Object.freeze({
    stage: "credit",
    name,
    settings: {},
    assign: (group) => ({
      values: rewardsOf(group),
      compared: group.episodes.map(({ calls }) => calls.map(keyOf)),
    }),
  } satisfies CreditAssigner);
}

/** Dr. MAS: baselines apart by agent. */
export function perAgent(): CreditAssigner & { readonly wants?: never } {
  return assigner("per-agent", ({ agent }) => agent);
}

/** AT-GRPO: baselines apart by agent and turn (the agent's how-manieth call in its scope). */
export function perAgentTurn(): CreditAssigner & { readonly wants?: never } {
  return assigner("per-agent-turn", ({ agent, occurrence = 0, scope = "" }) =>
    JSON.stringify([scope, agent, occurrence]),
  );
}

export const perAgentCard: MethodCard = {
  name: "per-agent",
  title: "Baselines apart by agent",
  stage: "credit",
  line: "each agent's calls are compared with the calls of the same agent only",
  use: 'import { perAgent } from "troupe/methods"',
  formula: ["A_c = (r_c − mean_a) / std_a over the values of agent a in the group"],
  defaults: {},
  source: "Dr. MAS (arXiv 2602.08847)",
};

export const perAgentTurnCard: MethodCard = {
  name: "per-agent-turn",
  title: "Baselines apart by agent and turn",
  stage: "credit",
  line: "each agent's k-th call is compared with the k-th calls of the same agent only",
  use: 'import { perAgentTurn } from "troupe/methods"',
  formula: ["A_c = (r_c − mean_{a,k}) / std_{a,k} over agent a's k-th calls in the group"],
  defaults: {},
  source: "AT-GRPO (arXiv 2510.11062)",
};
