/** @file How a run names a policy before it exists: plain data for the run's record, and a way to open it. */

import type { AnyPolicy, ScoringPolicy, TextPolicy, TrainablePolicy } from "./policy.ts";

export interface PolicyOpenContext {
  /** The policy's name in the run; used in errors. */
  readonly name: string;
  /** The run's seed, for weights that are made rather than loaded. */
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/**
 * A recipe for a policy. `local("folder")`, `tabularPolicy({…})` and others return one; the trainer opens it.
 *
 * @example
 * const spec: PolicySpec = local("assets/atlas-small");
 * const policy = await spec.open({ name: "small", seed: 0 });
 */
export interface PolicySpec<Opened extends AnyPolicy = AnyPolicy> {
  /** Which engine: "local", "tabular", … */
  readonly kind: string;
  /** What was asked for, as JSON, for the run's `config.json`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  open(context: PolicyOpenContext): Promise<Opened>;
  /**
   * Opens the same policy as it is before training, to score only: what a KL term compares with. Engines that can share
   * frozen weights do so here. Default: `open`, a second time.
   */
  openReference?(context: PolicyOpenContext): Promise<ScoringPolicy>;
}

/**
 * True for policies that have the trainable half; the others take part frozen. What is opened as frozen must not have
 * it: no update, no gradient and no moments are ever made for a policy that is not trainable.
 */
export function isTrainable(policy: AnyPolicy): policy is TrainablePolicy {
  return canScore(policy) && "backward" in policy && "step" in policy;
}

/** True for policies that score given tokens. */
export function canScore(policy: AnyPolicy): policy is ScoringPolicy {
  return "forward" in policy;
}

/** True for participants that speak text only. */
export function isTextPolicy(policy: AnyPolicy): policy is TextPolicy {
  return "generate" in policy;
}
