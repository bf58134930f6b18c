/**
 * @file Advantages relative to a group: A = (R − mean) / (std + ε), the baseline of GRPO and its relatives.
 * Source: Shao et al., "DeepSeekMath" (arXiv 2402.03300), §4.1.2. A group without spread gives zeros: dividing float
 * noise by a tiny std would turn it into full-size advantages.
 */

import { wrongSetting } from "./errors.ts";
import type { GroupCredit, RewardedCall, RewardedEpisode } from "./method.ts";

export interface GroupNormalisation {
  /**
   * Degrees of freedom taken off in the variance: 0 = population (as the papers print it), 1 = sample (as verl and TRL
   * compute it). The commonest porting bug, so it is always said.
   */
  readonly ddof: 0 | 1;
  /** false: A = R − mean (Dr. GRPO). */
  readonly divideByDeviation: boolean;
  /** Added to the standard deviation. */
  readonly epsilon: number;
  /**
   * Which values of the group share a baseline: "task", all calls of its episodes; "agent", the calls of one agent only,
   * for rewards that differ from agent to agent (Dr. MAS); "agent-turn", an agent's how-manieth calls only (AT-GRPO).
   */
  readonly scope: "task" | "agent" | "agent-turn";
}

export function checkGroupScope(method: string, scope: GroupNormalisation["scope"]): void {
  if (!["task", "agent", "agent-turn"].includes(scope))
    throw wrongSetting(method, "scope", scope, '"task", "agent" or "agent-turn"');
}

export interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

/** Mean and standard deviation; a single value has deviation 0. */
export function spreadOf(values: readonly number[], ddof: 0 | 1): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const degrees = values.length - ddof;
  if (degrees < 1) return { mean, deviation: 0 };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / degrees) };
}

/** Below this deviation rewards count as equal. */
export const leastDeviation = 1e-6;

/** [n] advantages of n values among themselves. */
export function normalise(
  values: readonly number[],
  { ddof, divideByDeviation, epsilon }: Omit<GroupNormalisation, "scope">,
): Float64Array {
  const { mean, deviation } = spreadOf(values, ddof);
  const scale = deviation < leastDeviation ? 0 : divideByDeviation ? 1 / (deviation + epsilon) : 1;
  return Float64Array.from(values, (value) => (value - mean) * scale);
}

/**
 * Advantage of every call in a group. The baseline is taken over one value per episode (and agent, in that scope): the
 * mean of its calls' rewards, so that an episode with many calls does not weigh more than one with few.
 */
export function groupCredit(
  group: readonly RewardedEpisode[],
  normalisation: GroupNormalisation,
): GroupCredit {
  const scopeOf = ({ agent, occurrence = 0, scope = "" }: RewardedCall) =>
    normalisation.scope === "task"
      ? ""
      : normalisation.scope === "agent"
        ? agent
        : JSON.stringify([scope, agent, occurrence]);
  const values = new Map<string, number[]>();
  for (const episode of group) {
    const byScope = new Map<string, number[]>();
    for (const call of episode.calls) {
      const scope = scopeOf(call);
      const { reward } = call;
      const rewards = byScope.get(scope);
      if (rewards === undefined) byScope.set(scope, [reward]);
      else rewards.push(reward);
    }
    if (episode.calls.length === 0 && normalisation.scope === "task") byScope.set("", [episode.reward]);
    for (const [scope, rewards] of byScope) {
      const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
      const known = values.get(scope);
      if (known === undefined) values.set(scope, [mean]);
      else known.push(mean);
    }
  }
  const spreads = new Map([...values].map(([scope, list]) => [scope, spreadOf(list, normalisation.ddof)]));
  let hasSignal = false;
  const advantages = group.map(({ calls }) =>
    Float64Array.from(calls, (call) => {
      const { mean, deviation } = spreads.get(scopeOf(call))!;
      const { reward } = call;
      if (deviation < leastDeviation) return 0;
      hasSignal = true;
      return (reward - mean) / (normalisation.divideByDeviation ? deviation + normalisation.epsilon : 1);
    }),
  );
  return { advantages, hasSignal };
}
