/** @file The numbers of one step: those that the seed decides, and those of the clock. */

import { spreadOf } from "../methods/group-advantage.ts";
import type { Method } from "../methods/method.ts";
import { meanReward, type Trajectory } from "../workflow/trajectory.ts";
import type { CreditedGroup } from "./credit-groups.ts";
import { type Group, sampledNow } from "./groups.ts";
import { isOwnCall } from "./told-group.ts";
import type { PolicyUpdate } from "./update.ts";

export interface StepMetrics {
  readonly kind: "step";
  readonly step: number;
  readonly episodes: number;
  /** Of the complete episodes (`meanReward`). */
  readonly reward: { readonly mean: number; readonly deviation: number };
  readonly groups: number;
  readonly groupsWithoutSignal: number;
  /** Of a method whose sampler drops groups: how many it dropped. */
  readonly droppedGroups?: number;
  /** Output tokens of the calls that were sampled for this step, failed ones and dropped groups included. */
  readonly sampledTokens: number;
  /** Failed episodes by "boundary/code". */
  readonly failures: Readonly<Record<string, number>>;
  /** Mean of each reward term, by name, over the episodes that have it. */
  readonly terms: Readonly<Record<string, number>>;
  readonly policies: Readonly<Record<string, PolicyUpdate>>;
  /** What the method says of what it has learned (`Method.metrics`). */
  readonly method?: Readonly<Record<string, number>>;
}

export function stepMetrics({
  step,
  groups,
  credited,
  failures,
  updates,
  method,
}: {
  readonly step: number;
  /** All that were sampled; `credited` are those of them that were trained on. */
  readonly groups: readonly Group<unknown>[];
  readonly credited: readonly CreditedGroup<unknown>[];
  readonly failures: Readonly<Record<string, number>>;
  readonly updates: ReadonlyMap<string, PolicyUpdate>;
  readonly method: Method;
}): StepMetrics & Readonly<Record<string, unknown>> {
  const sampled = sampledNow(groups);
  const complete = sampled.filter(({ status }) => status === "complete");
  // Of dropped groups too: what a sampler leaves out says nothing of how good the policies are.
  const rewards = complete.map(meanReward);
  const { mean, deviation } = spreadOf(rewards, 0);
  const dropped = groups.filter((group) => group.dropped === true).length;
  return {
    kind: "step",
    step,
    episodes: rewards.length,
    reward: { mean, deviation },
    groups: credited.length,
    groupsWithoutSignal: credited.filter(({ hasSignal }) => !hasSignal).length,
    ...(dropped === 0 ? {} : { droppedGroups: dropped }),
    sampledTokens: sampledTokens(sampled),
    failures,
    terms: meanTerms(complete),
    policies: Object.fromEntries(updates),
    ...(method.metrics === undefined ? {} : { method: method.metrics() }),
  };
}

/** Output tokens of an episode's own calls: a branch does not count what it replayed. */
function sampledTokens(trajectories: readonly Trajectory[]): number {
  let tokens = 0;
  for (const trajectory of trajectories)
    for (const call of trajectory.calls) if (isOwnCall(trajectory, call)) tokens += call.output.length;
  return tokens;
}

/** Mean of each reward term, by name, over the episodes that have it; an agent's terms as "agent.name". */
export function meanTerms(trajectories: readonly Trajectory[]): Record<string, number> {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const { rewards } of trajectories) {
    for (const { name, value, agent } of rewards) {
      const term = agent === undefined ? name : `${agent}.${name}`;
      const known = sums.get(term) ?? { sum: 0, count: 0 };
      known.sum += value;
      known.count++;
      sums.set(term, known);
    }
  }
  return Object.fromEntries(
    [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { sum, count }]) => [name, sum / count]),
  );
}

export interface StepTimings {
  readonly kind: "step";
  readonly step: number;
  readonly seconds: number;
  readonly sampleSeconds: number;
  readonly updateSeconds: number;
  /** Prompt and output tokens of the step's calls ÷ its seconds. */
  readonly tokensPerSecond: number;
}

/** All times in milliseconds of one clock. */
export function stepTimings({
  step,
  trajectories,
  began,
  sampledAt,
  ended,
}: {
  readonly step: number;
  readonly trajectories: readonly Trajectory[];
  readonly began: number;
  readonly sampledAt: number;
  readonly ended: number;
}): StepTimings & Readonly<Record<string, unknown>> {
  let tokens = 0;
  for (const { calls } of trajectories)
    for (const { prompt, output } of calls) tokens += prompt.length + output.length;
  const seconds = (ended - began) / 1000;
  return {
    kind: "step",
    step,
    seconds,
    sampleSeconds: (sampledAt - began) / 1000,
    updateSeconds: (ended - sampledAt) / 1000,
    tokensPerSecond: tokens / seconds,
  };
}
