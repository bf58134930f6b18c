/** @file The numbers of one step: those that the seed decides, and those of the clock. */

import { spreadOf } from "../methods/group-advantage.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import type { CreditedGroup } from "./groups.ts";
import type { PolicyUpdate } from "./update.ts";

export interface StepMetrics {
  readonly kind: "step";
  readonly step: number;
  readonly episodes: number;
  readonly reward: { readonly mean: number; readonly deviation: number };
  readonly groups: number;
  readonly groupsWithoutSignal: number;
  /** Failed episodes by "boundary/code". */
  readonly failures: Readonly<Record<string, number>>;
  /** Mean of each reward term, by name, over the episodes that have it. */
  readonly terms: Readonly<Record<string, number>>;
  readonly policies: Readonly<Record<string, PolicyUpdate>>;
}

export function stepMetrics({
  step,
  credited,
  failures,
  updates,
}: {
  readonly step: number;
  readonly credited: readonly CreditedGroup<unknown>[];
  readonly failures: Readonly<Record<string, number>>;
  readonly updates: ReadonlyMap<string, PolicyUpdate>;
}): StepMetrics & Readonly<Record<string, unknown>> {
  const rewards = credited.flatMap((group) => group.rewards);
  const { mean, deviation } = spreadOf(rewards, 0);
  const complete = credited.flatMap(({ group }) =>
    group.trajectories.filter(({ status }) => status === "complete"),
  );
  return {
    kind: "step",
    step,
    episodes: rewards.length,
    reward: { mean, deviation },
    groups: credited.length,
    groupsWithoutSignal: credited.filter(({ hasSignal }) => !hasSignal).length,
    failures,
    terms: meanTerms(complete),
    policies: Object.fromEntries(updates),
  };
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
