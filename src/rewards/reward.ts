/**
 * @file What a reward term is: it sees all finished episodes of a group at once, and gives each either rewards (for the
 * trajectory, an agent or a call) or a typed failure. Terms are values; combinators make terms out of terms.
 */

import type { AnyPolicy } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import type { Stage } from "../workflow/agent.ts";
import type { Clock } from "../workflow/clock.ts";
import type { EpisodeFailure } from "../workflow/errors.ts";
import type { Gates } from "../workflow/gate.ts";
import type { RewardRecord, Trajectory } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";

/** A reward is defined or restored wrongly; thrown where it is defined, or before the first step. */
export class RewardDefinitionError extends TroupeError {}

/** An episode that came to its end, as rewards and metrics see it. */
export interface FinishedEpisode<Task = UntypedTask> {
  readonly task: Task;
  /** What the workflow returned. */
  readonly result: unknown;
  readonly trajectory: Trajectory;
}

/** What a term may know besides the episodes. */
export interface RewardContext {
  /** Optimiser steps begun, from 1; 0 before training. */
  readonly step: number;
  /** The run's seed. */
  readonly seed: number;
  readonly stage: Stage;
  /** Policies of the run by name, for judges. */
  readonly policies?: ReadonlyMap<string, AnyPolicy>;
  /** The run's gates: a judge's requests count in the limits of its policy. */
  readonly gates?: Gates;
  /** Newest held-out evaluation: means of its metrics, for stages that wait for a plateau of one. */
  readonly evaluation?: { readonly step: number; readonly means: Readonly<Record<string, number>> };
  readonly signal?: AbortSignal;
  /** Seconds that one function of a term may take for one episode or one group. Default 300. */
  readonly deadline?: number;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** What a term says of one episode. */
export type ScoredEpisode =
  | { readonly rewards: readonly RewardRecord[] }
  /** The episode leaves the batch. Never scored as a zero. */
  | { readonly failure: EpisodeFailure };

/** Plain data, for checkpoints. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What a term needs from the run, so that it can be checked before the first step. */
export interface RewardNeeds {
  /** Names of policies that it asks. */
  readonly policies?: readonly string[];
  /** Names of agents that it rewards or looks at. */
  readonly agents?: readonly string[];
}

export interface RewardTerm<Task = UntypedTask> {
  /** In logs: the name of its records. */
  readonly name: string;
  /** Terms that it is made of; their records are `logged` in its own. */
  readonly parts?: readonly RewardTerm<Task>[];
  /** Only one of the parts counts at a time, so they may share names. Default false. */
  readonly exclusive?: boolean;
  /** Its own; those of the whole are `needsOf(term)`. */
  readonly needs?: RewardNeeds;
  /**
   * Scores the complete episodes of one task, in order; the answer has one entry for each. Groups are scored at the same
   * time, so it must not change the term: that is what `learn` is for.
   */
  readonly score: (
    group: readonly FinishedEpisode<Task>[],
    context: RewardContext,
  ) => Promise<readonly ScoredEpisode[]>;
  /** Hears once a step, after all groups were scored, what the whole made of them. Only in training. */
  learn?(scored: readonly ScoredEpisode[], context: RewardContext): void;
  /** What `learn` has changed so far, its parts included; for checkpoints. */
  state?(): Json;
  /** @throws RewardDefinitionError if it is not a state of such a term. */
  restore?(state: Json): void;
  /** What it has used so far, such as requests to a judge. Depends on caches: for timings, not for metrics. */
  usage?(): Readonly<Record<string, number>>;
}

/** A number of one episode. */
export type RewardFunction<Task = UntypedTask> = (
  episode: FinishedEpisode<Task>,
  context: RewardContext,
) => number | Promise<number>;

/** Everything that a term and its parts need from a run. */
export function needsOf<Task>(term: RewardTerm<Task>): Required<RewardNeeds> {
  const policies = new Set(term.needs?.policies);
  const agents = new Set(term.needs?.agents);
  for (const part of term.parts ?? []) {
    const needs = needsOf(part);
    for (const name of needs.policies) policies.add(name);
    for (const name of needs.agents) agents.add(name);
  }
  return { policies: [...policies], agents: [...agents] };
}

/** What a term and its parts have used so far, by term. */
export function usageOf<Task>(term: RewardTerm<Task>): Record<string, Readonly<Record<string, number>>> {
  const own = term.usage?.();
  return Object.assign(own === undefined ? {} : { [term.name]: own }, ...(term.parts ?? []).map(usageOf));
}
