/**
 * @file One update of one policy: epochs × minibatches × microbatches of forward → loss → backward, and one step of its
 * optimiser a minibatch. What the weights say before the update (ℓ, v) is computed first, where it is needed.
 */

import type { ForwardOptions, ScoringPolicy, StepOptions, TrainablePolicy } from "../engine/policy.ts";
import { addStatistics, type LossStatistics, noStatistics } from "../methods/method.ts";
import {
  batchCall,
  byPrompt,
  divided,
  joined,
  microbatches,
  minibatches,
  type Row,
  rowOf,
} from "./batch-rows.ts";
import type { OptimizerSettings, TrainSettings } from "./config.ts";
import { RunStoppedError } from "./errors.ts";
import type { CreditedCall } from "./groups.ts";
import { learningRateAt } from "./learning-rate.ts";
import { importanceOf, oldLogprobsOf, SamplerGap } from "./old-logprobs.ts";

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
    .map(rowOf)
    .sort(byPrompt);
  const base = describeRows(rows, staleness);
  const trains =
    method.needs.tokensWithoutAdvantage || rows.some(({ source: { advantage } }) => advantage !== 0);
  if (rows.length === 0 || !trains)
    return { ...base, updated: false, version: policy.version, optimizerSteps: 0 };

  const update = new Update(options, staleness > 0);
  if (update.needsOldPass(rows)) await update.oldPass(rows);
  estimate(rows, method);
  const { epochs, minibatches: parts } = method.updates ?? { epochs: 1, minibatches: 1 };
  for (let epoch = 0; epoch < epochs; epoch++) {
    const key = [settings.seed, "minibatches", options.step, options.name, epoch];
    for (const minibatch of minibatches(rows, parts, key)) await update.minibatch(minibatch);
  }
  return { ...base, ...update.summary() };
}

/** Per-token advantages and returns, from the method's estimate over the whole batch if it has one. */
function estimate(rows: readonly Row[], method: UpdateSettings["method"]): void {
  if (method.estimate === undefined) return;
  const { advantages, returns } = method.estimate(rows.map(batchCall));
  for (const [i, row] of rows.entries()) {
    row.advantages = advantages[i]!;
    if (returns !== undefined) row.returns = returns[i]!;
  }
}

class Update {
  readonly #options: UpdateOptions;
  readonly #stale: boolean;
  readonly #gap = new SamplerGap();
  readonly #optimizer: StepOptions;
  #statistics: LossStatistics = noStatistics;
  #loss = 0;
  #gradientNorm = 0;
  #clipped = false;
  #steps = 0;
  #gapKnown = false;

  constructor(options: UpdateOptions, stale: boolean) {
    this.#options = options;
    this.#stale = stale;
    this.#optimizer = optimizerOf(options);
  }

  /** Whether ℓ or v of the weights before the update must be known beforehand. */
  needsOldPass(rows: readonly Row[]): boolean {
    const { needs, updates } = this.#options.settings.method;
    const several = (updates?.epochs ?? 1) * (updates?.minibatches ?? 1) > 1;
    return needs.values === true || this.#stale || (several && rows.some(({ filtered }) => filtered));
  }

  async oldPass(rows: readonly Row[]): Promise<void> {
    const { policy, settings } = this.#options;
    const values = settings.method.needs.values === true;
    for (const batch of microbatches(rows, settings.tokensPerMicrobatch)) {
      const now = await policy.forward(
        batch.map(({ sequence }) => sequence),
        { values },
      );
      if (values && now.values === undefined) throw noValueHead(this.#options);
      divided(batch, now.logprobs, (row, part) => {
        row.proximal = part;
        // With older weights among the samplers a difference is no alarm.
        if (!this.#stale) this.#gap.add(row, part);
      });
      if (now.values !== undefined)
        divided(batch, now.values, (row, part) => {
          row.values = part;
        });
    }
    this.#gapKnown = true;
  }

  async minibatch(rows: readonly Row[]): Promise<void> {
    const { policy, settings, quietly = (work) => work() } = this.#options;
    const { method, tokensPerMicrobatch } = settings;
    // Tokens without advantage have no gradient: they count in the normaliser and cost no pass.
    const trained = method.needs.tokensWithoutAdvantage
      ? rows
      : rows.filter(({ advantages }) => advantages.some((advantage) => advantage !== 0));
    if (trained.length === 0) return;
    const totals = {
      sequences: rows.length,
      tokens: rows.reduce((sum, { scored }) => sum + scored, 0),
    };
    for (const batch of microbatches(trained, tokensPerMicrobatch)) await this.#pass(batch, totals);
    const { gradientNorm, clipped } = await quietly(() => policy.step(this.#optimizer));
    this.#gradientNorm += gradientNorm;
    this.#clipped ||= clipped;
    this.#steps++;
    // Later passes see other weights than those that sampled.
    this.#gapKnown = true;
  }

  async #pass(
    batch: readonly Row[],
    totals: { readonly sequences: number; readonly tokens: number },
  ): Promise<void> {
    const { policy, reference, settings } = this.#options;
    const { method } = settings;
    const { needs } = method;
    const sequences = batch.map(({ sequence }) => sequence);
    const referenceLogprobs = (await reference?.forward(sequences))?.logprobs;
    const asked: ForwardOptions = {
      entropy: needs.entropy,
      retain: true,
      ...(needs.values === true ? { values: true } : {}),
    };
    const now = await policy.forward(sequences, asked);
    const oldLogprobs = new Float32Array(now.logprobs.length);
    let at = 0;
    divided(batch, now.logprobs, (row, part) => {
      if (!this.#gapKnown && !this.#stale) this.#gap.add(row, part);
      oldLogprobs.set(oldLogprobsOf(row, part, this.#stale), at);
      at += row.scored;
    });
    const output = method.loss({
      lengths: batch.map(({ scored }) => scored),
      logprobs: now.logprobs,
      oldLogprobs,
      advantages: joined(batch, ({ advantages }) => advantages),
      totals,
      ...(now.entropies === undefined ? {} : { entropies: now.entropies }),
      ...(referenceLogprobs === undefined ? {} : { referenceLogprobs }),
      ...(this.#stale ? { importance: joined(batch, importanceOf) } : {}),
      ...(needs.values === true && now.values !== undefined
        ? {
            values: now.values,
            oldValues: joined(batch, ({ values }) => values!),
            returns: joined(batch, ({ returns, values }) => returns ?? values!),
          }
        : {}),
    });
    await policy.backward(sequences, output.gradients);
    this.#loss += output.loss;
    this.#statistics = addStatistics(this.#statistics, output.statistics);
  }

  summary(): Omit<PolicyUpdate, "sequences" | "tokens" | "truncated" | "meanLength" | "staleness"> {
    const { policy } = this.#options;
    const { sums, maxima, tokens } = this.#statistics;
    if (this.#steps === 0) return { updated: false, version: policy.version, optimizerSteps: 0 };
    return {
      updated: true,
      version: policy.version,
      optimizerSteps: this.#steps,
      loss: this.#loss / this.#steps,
      gradientNorm: this.#gradientNorm / this.#steps,
      clippedGradient: this.#clipped,
      learningRate: this.#optimizer.learningRate,
      ...this.#gap.summary(),
      statistics: {
        ...Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / tokens])),
        ...maxima,
      },
    };
  }
}

function describeRows(rows: readonly Row[], staleness: number) {
  const tokens = rows.reduce((sum, { scored }) => sum + scored, 0);
  const cut = rows.filter(
    ({ source: { call } }) => call.stopReason === "length" || call.stopReason === "context",
  ).length;
  return {
    sequences: rows.length,
    tokens,
    truncated: rows.length === 0 ? 0 : cut / rows.length,
    meanLength: rows.length === 0 ? 0 : tokens / rows.length,
    ...(staleness === 0 ? {} : { staleness }),
  };
}

/** The run's optimiser settings, with the policy's own in their place where it has some. */
function optimizerOf({ name, step, settings }: UpdateOptions): StepOptions {
  const own: OptimizerSettings = settings.optimizers[name] ?? {};
  const norm = own.maxGradientNorm ?? settings.maxGradientNorm;
  return {
    learningRate: learningRateAt(own.learningRate ?? settings.learningRate, step, settings.steps),
    betas: own.betas ?? settings.betas,
    weightDecay: own.weightDecay ?? settings.weightDecay,
    ...(own.epsilon === undefined ? {} : { epsilon: own.epsilon }),
    ...(Number.isFinite(norm) ? { maxGradientNorm: norm } : {}),
  };
}

/**
 * The largest lag of a call, in versions: an update may take several optimiser steps.
 * @throws RunStoppedError E_STALE_SAMPLE beyond the bound.
 */
function checkVersions({ policy, calls, settings }: UpdateOptions): number {
  const { epochs, minibatches: parts } = settings.method.updates ?? { epochs: 1, minibatches: 1 };
  const bound = settings.staleness * epochs * parts;
  let largest = 0;
  for (const { call, trajectory } of calls) {
    const lag = policy.version - call.version;
    if (lag < 0 || lag > bound) throw stale(policy, call.version, trajectory.id, bound);
    largest = Math.max(largest, lag);
  }
  return largest;
}

function noValueHead({ name, settings }: UpdateOptions): RunStoppedError {
  return new RunStoppedError({
    code: "E_VALUE_HEAD",
    message: `Method "${settings.method.name}" needs values, and policy "${name}" has no value head.`,
    hint: 'open it with one: local("…", { valueHead: true }).',
    facts: { policy: name },
  });
}

function stale(policy: TrainablePolicy, version: number, episode: string, bound: number): RunStoppedError {
  return new RunStoppedError({
    code: "E_STALE_SAMPLE",
    message: `Episode ${episode} was sampled by version ${version} of policy "${policy.name}", which is now at version ${policy.version}; ${bound === 0 ? "training is strictly on-policy" : `at most ${bound} versions may lie between`}.`,
    hint: "this is a fault of the engine or of Troupe; please report it.",
    facts: { policy: policy.name, sampled: version, now: policy.version },
  });
}
