/**
 * @file One update of one policy: epochs × minibatches × microbatches of forward → loss → backward, and one step of its
 * optimiser a minibatch. What the weights say before the update (ℓ, v) is computed first, where it is needed.
 */

import type { ScoringPolicy, TrainablePolicy } from "../engine/policy.ts";
import { LossError } from "../methods/errors.ts";
import { batchCall, byPrompt, minibatches, type Row, rowOf } from "./batch-rows.ts";
import type { TrainSettings } from "./config.ts";
import type { CreditedCall } from "./credit-groups.ts";
import { RunStoppedError } from "./errors.ts";
import { UpdatePasses } from "./update-passes.ts";
import { needsOfPolicy, updatePlan } from "./update-plan.ts";

export interface PolicyUpdate {
  /** False: no call of this policy had an advantage other than 0, so its weights stayed as they are. */
  readonly updated: boolean;
  readonly version: number;
  /** Optimiser steps taken; more than 1 with minibatches or epochs. */
  readonly optimizerSteps: number;
  readonly sequences: number;
  readonly tokens: number;
  /** Share of outputs that ended because `maxTokens` were used up or the context was full. */
  readonly truncated: number;
  readonly meanLength: number;
  /** Means over the optimiser steps. */
  readonly loss?: number;
  readonly gradientNorm?: number;
  /** True if any step's gradient was clipped. */
  readonly clippedGradient?: boolean;
  readonly learningRate?: number;
  /** Largest and mean |ℓ_training − ℓ_sampling|: an alarm for stale weights and template errors. */
  readonly largestSamplerGap?: number;
  readonly meanSamplerGap?: number;
  /** Largest number of updates that a call lagged behind; absent while strictly on-policy. */
  readonly staleness?: number;
  /** Texts in the batch that were given, and not sampled. */
  readonly given?: number;
  /** Given texts that could not be used, by reason. */
  readonly refused?: Readonly<Record<string, number>>;
  /** Calls that wait for a later update (`buffer`). */
  readonly waiting?: number;
  /** Of the method: means per token, and maxima. */
  readonly statistics?: Readonly<Record<string, number>>;
}

export type UpdateSettings = Pick<
  TrainSettings<unknown>,
  | "method"
  | "steps"
  | "seed"
  | "learningRate"
  | "betas"
  | "weightDecay"
  | "maxGradientNorm"
  | "tokensPerMicrobatch"
  | "staleness"
  | "optimizers"
>;

export interface UpdateOptions {
  /** The policy's name in the run. */
  readonly name: string;
  readonly policy: TrainablePolicy;
  readonly reference: ScoringPolicy | undefined;
  readonly calls: readonly CreditedCall[];
  readonly step: number;
  readonly settings: UpdateSettings;
  /** Runs an optimiser step while no call of the policy is being sampled. Default: at once. */
  readonly quietly?: <T>(work: () => Promise<T>) => Promise<T>;
}

export async function updatePolicy(options: UpdateOptions): Promise<PolicyUpdate> {
  const { policy, calls, settings } = options;
  const { method } = settings;
  const staleness = checkVersions(options);
  const rows = calls
    .filter(({ call }) => call.output.length > 0)
    .map((call) => rowOf(call, policy.version))
    .sort(byPrompt);
  const base = describeRows(rows, staleness);
  // An estimate may see an advantage where the credit is 0.
  const trains =
    needsOfPolicy(method, options.name).tokensWithoutAdvantage ||
    method.estimate !== undefined ||
    rows.some(({ source: { advantage } }) => advantage !== 0);
  if (rows.length === 0 || !trains)
    return { ...base, updated: false, version: policy.version, optimizerSteps: 0 };

  const update = new UpdatePasses(options, staleness > 0);
  rows.forEach((row, place) => {
    row.place = place;
  });
  await update.before(rows);
  estimate(rows, method, Number(needsOfPolicy(method, options.name).values ?? 0));
  const prepared = method.prepare?.(rows.map(batchCall));
  const { epochs, minibatches: parts } = updatePlan(method, options.name);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const key = [settings.seed, "minibatches", options.step, options.name, epoch];
    for (const minibatch of minibatches(rows, parts, key)) await update.minibatch(minibatch, prepared);
  }
  return { ...base, ...update.summary() };
}

/**
 * Per-token advantages and returns, from the method's estimate over the whole batch if it has one.
 * @throws LossError if they do not fit the calls, or are not numbers.
 */
function estimate(rows: readonly Row[], method: UpdateSettings["method"], heads: number): void {
  if (method.estimate === undefined) return;
  const { advantages, returns } = method.estimate(rows.map(batchCall));
  for (const [i, row] of rows.entries()) {
    checkEstimate(method.name, "advantages", row, advantages[i], 1);
    if (returns !== undefined || heads > 0)
      checkEstimate(method.name, "returns", row, returns?.[i], Math.max(1, heads));
  }
  for (const [i, row] of rows.entries()) {
    row.advantages = advantages[i]!;
    if (returns !== undefined) row.returns = returns[i]!;
  }
}

function checkEstimate(
  method: string,
  name: string,
  row: Row,
  found: Float32Array | undefined,
  width: number,
): void {
  const fits = found?.length === row.scored * width;
  if (fits && found.every(Number.isFinite)) return;
  const { agent, occurrence } = row.source.call;
  const said = fits
    ? `of which one is ${found.find((value) => !Number.isFinite(value))}`
    : `for ${row.scored} sampled tokens${width === 1 ? "" : ` and ${width} value heads`}`;
  throw new LossError({
    code: fits ? "E_ESTIMATE_NOT_FINITE" : "E_ESTIMATE_SHAPE",
    message: `Method "${method}" estimates ${found?.length ?? "no"} ${name} ${said}, for call ${occurrence} of agent "${agent}" in episode ${row.source.trajectory.id}.`,
    hint: "`estimate` returns one array a call, in the order of the batch, with one finite number a token.",
    facts: { method, episode: row.source.trajectory.id, agent, occurrence },
  });
}

function describeRows(rows: readonly Row[], staleness: number) {
  const tokens = rows.reduce((sum, { scored }) => sum + scored, 0);
  const given = rows.filter((row) => row.given).length;
  const cut = rows.filter(
    ({ source: { call } }) => call.stopReason === "length" || call.stopReason === "context",
  ).length;
  return {
    sequences: rows.length,
    tokens,
    truncated: rows.length === 0 ? 0 : cut / rows.length,
    meanLength: rows.length === 0 ? 0 : tokens / rows.length,
    ...(staleness === 0 ? {} : { staleness }),
    ...(given === 0 ? {} : { given }),
  };
}

/**
 * The largest lag of a call, in versions: an update may take several optimiser steps.
 * @throws RunStoppedError E_STALE_SAMPLE beyond the bound.
 */
function checkVersions({ name, policy, calls, settings }: UpdateOptions): number {
  const { epochs, minibatches: parts } = updatePlan(settings.method, name);
  const bound = settings.staleness * epochs * parts;
  let largest = 0;
  for (const { call, trajectory, recalled, given, carried } of calls) {
    // Older on purpose, or not sampled by this policy at all.
    if (recalled === true || given !== undefined || carried === true) continue;
    const lag = policy.version - call.version;
    if (lag < 0 || lag > bound) throw stale(policy, call.version, trajectory.id, bound);
    largest = Math.max(largest, lag);
  }
  return largest;
}

function stale(policy: TrainablePolicy, version: number, episode: string, bound: number): RunStoppedError {
  return new RunStoppedError({
    code: "E_STALE_SAMPLE",
    message: `Episode ${episode} was sampled by version ${version} of policy "${policy.name}", which is now at version ${policy.version}; ${bound === 0 ? "training is strictly on-policy" : `at most ${bound} versions may lie between`}.`,
    hint: "this is a fault of the engine or of Troupe; please report it.",
    facts: { policy: policy.name, sampled: version, now: policy.version },
  });
}
