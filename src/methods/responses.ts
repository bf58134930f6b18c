/** @file What policies of a group are compared by: one value per episode, policy and baseline, the mean over its calls. */

import type { StepRewards } from "./capability-windows.ts";
import type { JudgedGroup } from "./parts.ts";

export interface Response {
  /** "" where it is unknown. */
  readonly policy: string;
  readonly reward: number;
}

/** [baseline] in the order of the group. An episode without calls has its reward in "", where baselines are not kept apart. */
export function responsesOf({ group, values, compared }: JudgedGroup): Map<string, readonly Response[]> {
  const found = new Map<string, Response[]>();
  const add = (key: string, response: Response) => {
    const known = found.get(key);
    if (known === undefined) found.set(key, [response]);
    else known.push(response);
  };
  values.forEach((row, i) => {
    const { calls, reward } = group.episodes[i]!;
    const sums = new Map<string, Map<string, { sum: number; count: number }>>();
    row.forEach((value, j) => {
      const key = compared?.[i]?.[j] ?? "";
      const policies = sums.get(key) ?? new Map<string, { sum: number; count: number }>();
      sums.set(key, policies);
      const policy = calls[j]!.policy ?? "";
      const { sum, count } = policies.get(policy) ?? { sum: 0, count: 0 };
      policies.set(policy, { sum: sum + value, count: count + 1 });
    });
    for (const [key, policies] of sums)
      for (const [policy, { sum, count }] of policies) add(key, { policy, reward: sum / count });
    if (row.length === 0 && compared === undefined) add("", { policy: "", reward });
  });
  return found;
}

/** Of a step's groups. "positive": rewards below 0 count as 0. */
export function rewardsOf(groups: readonly JudgedGroup[], counts: "all" | "positive"): StepRewards {
  const found = new Map<string, Map<string, number[]>>();
  for (const judged of groups) {
    for (const [key, responses] of responsesOf(judged)) {
      const policies = found.get(key) ?? new Map<string, number[]>();
      found.set(key, policies);
      for (const { policy, reward } of responses) {
        const counted = counts === "positive" ? Math.max(reward, 0) : reward;
        policies.set(policy, [...(policies.get(policy) ?? []), counted]);
      }
    }
  }
  return found;
}
