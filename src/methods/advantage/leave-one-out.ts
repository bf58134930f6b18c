/**
 * @file Leave one out: an agent is worth what episodes with it have over episodes of the same task without it,
 *
 *   A_c = R(τ) − mean { R(τ') : τ' in the group, agent of c takes no part in τ' }
 *
 * It needs a workflow that sometimes does without an agent (a router that skips it, a draw of the context). Where every
 * episode has the agent there is nothing to compare it with, and its baseline is the mean of the other episodes (RLOO,
 * CHOSEN). An advantage and not a reward: a group's mean, taken off afterwards, would delete the comparison.
 *
 * Source: ours, after Context-Picker's mining of necessary items; r − r_{−n} is the difference reward of Wolpert & Tumer,
 * "Optimal payoff functions for members of collectives" (2001).
 */

import type { MethodCard } from "../card.ts";
import { leastDeviation } from "../group-advantage.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";

export function leaveOneOut(): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  return Object.freeze({
    stage: "advantage",
    name: "leave-one-out",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings: {},
    advantages: (groups) => groups.map(ofGroup),
  } satisfies AdvantagePart);
}

function ofGroup({ group: { episodes }, values }: JudgedGroup): GroupAdvantages {
  const meanOf = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const rewards = episodes.map(({ reward }) => reward);
  const without = new Map<string, number>();
  for (const agent of new Set(episodes.flatMap(({ calls }) => calls.map((call) => call.agent)))) {
    const absent = rewards.filter((_, i) => episodes[i]!.calls.every((call) => call.agent !== agent));
    if (absent.length > 0) without.set(agent, meanOf(absent));
  }
  let hasSignal = false;
  const advantages = episodes.map(({ calls }, i) =>
    Float64Array.from(calls, ({ agent }, j) => {
      const others = rewards.filter((_, k) => k !== i);
      const baseline = without.get(agent) ?? (others.length === 0 ? rewards[i]! : meanOf(others));
      const advantage = values[i]![j]! - baseline;
      if (Math.abs(advantage) < leastDeviation) return 0;
      hasSignal = true;
      return advantage;
    }),
  );
  return { advantages, hasSignal };
}

export const leaveOneOutCard: MethodCard = {
  name: "leave-one-out",
  title: "Leave one out",
  stage: "advantage",
  line: "an agent is worth what episodes with it have over episodes of the same task without it",
  use: 'import { leaveOneOut } from "troupe/methods"',
  formula: ["A_c = R − mean of R over the group's episodes in which the agent of c takes no part"],
  defaults: {},
  source: "ours; difference rewards: Wolpert & Tumer (2001)",
  notes: ["CHOSEN: an agent that is in every episode is compared with the other episodes"],
};
