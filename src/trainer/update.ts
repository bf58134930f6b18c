/** @file One update of one policy: microbatched forward → loss → backward, then the optimiser's step. */

import type { ForwardResult, ScoringPolicy, TrainablePolicy, TrainingSequence } from "../engine/policy.ts";
import { addStatistics, noStatistics } from "../methods/method.ts";
import { isFiltered, trainingSequence } from "../workflow/trajectory.ts";
import type { TrainSettings } from "./config.ts";
import { RunStoppedError } from "./errors.ts";
import type { CreditedCall } from "./groups.ts";
import { learningRateAt } from "./learning-rate.ts";

export interface PolicyUpdate {
  /** False: no call of this policy had an advantage other than 0, so its weights stayed as they are. */
  readonly updated: boolean;
  readonly version: number;
  readonly sequences: number;
  readonly tokens: number;
  /** Share of outputs that ended because `maxTokens` were used up or the context was full. */
  readonly truncated: number;
  readonly meanLength: number;
  readonly loss?: number;
  readonly gradientNorm?: number;
  readonly clippedGradient?: boolean;
  readonly learningRate?: number;
  /** Largest and mean |ℓ_training − ℓ_sampling|: an alarm for stale weights and template errors. */
  readonly largestSamplerGap?: number;
  readonly meanSamplerGap?: number;
  /** Of the method: means per token, and maxima. */
  readonly statistics?: Readonly<Record<string, number>>;
}

interface Row {
  readonly sequence: TrainingSequence;
  readonly scored: number;
  readonly call: CreditedCall["call"];
  readonly advantage: number;
}

export interface UpdateOptions {
  readonly policy: TrainablePolicy;
  readonly reference: ScoringPolicy | undefined;
  readonly calls: readonly CreditedCall[];
  readonly step: number;
  readonly settings: Pick<
    TrainSettings<unknown>,
    "method" | "steps" | "learningRate" | "betas" | "weightDecay" | "maxGradientNorm" | "tokensPerMicrobatch"
  >;
}

export async function updatePolicy({
  policy,
  reference,
  calls,
  step,
  settings,
}: UpdateOptions): Promise<PolicyUpdate> {
  const { method } = settings;
  for (const { call, trajectory } of calls) {
    if (call.version !== policy.version) throw stale(policy, call.version, trajectory.id);
  }
  const sampled = calls.filter(({ call }) => call.output.length > 0);
  const tokens = sampled.reduce((sum, { call }) => sum + call.output.length, 0);
  const cut = sampled.filter(
    ({ call }) => call.stopReason === "length" || call.stopReason === "context",
  ).length;
  const base = {
    sequences: sampled.length,
    tokens,
    truncated: sampled.length === 0 ? 0 : cut / sampled.length,
    meanLength: sampled.length === 0 ? 0 : tokens / sampled.length,
  };
  // Tokens without advantage have no gradient: they count in the normaliser and cost no pass.
  const rows = sampled
    .filter(({ advantage }) => advantage !== 0 || method.needs.tokensWithoutAdvantage)
    .map(
      ({ call, advantage }): Row => ({
        sequence: trainingSequence(call),
        scored: call.output.length,
        call,
        advantage,
      }),
    )
    .sort(byPrompt);
  if (rows.length === 0) return { ...base, updated: false, version: policy.version };

  let loss = 0;
  let statistics = noStatistics;
  const gap = { sum: 0, largest: 0, tokens: 0 };
  for (const batch of microbatches(rows, settings.tokensPerMicrobatch)) {
    const sequences = batch.map(({ sequence }) => sequence);
    const referenceLogprobs = (await reference?.forward(sequences))?.logprobs;
    const now = await policy.forward(sequences, { entropy: method.needs.entropy, retain: true });
    const oldLogprobs = recordedLogprobs(batch, now, gap);
    const output = method.loss({
      lengths: batch.map(({ scored }) => scored),
      logprobs: now.logprobs,
      oldLogprobs,
      advantages: spread(batch),
      totals: { sequences: base.sequences, tokens },
      ...(now.entropies === undefined ? {} : { entropies: now.entropies }),
      ...(referenceLogprobs === undefined ? {} : { referenceLogprobs }),
    });
    await policy.backward(sequences, output.gradients);
    loss += output.loss;
    statistics = addStatistics(statistics, output.statistics);
  }
  const learningRate = learningRateAt(settings.learningRate, step, settings.steps);
  const { gradientNorm, clipped, version } = await policy.step({
    learningRate,
    betas: settings.betas,
    weightDecay: settings.weightDecay,
    ...(Number.isFinite(settings.maxGradientNorm) ? { maxGradientNorm: settings.maxGradientNorm } : {}),
  });
  return {
    ...base,
    updated: true,
    version,
    loss,
    gradientNorm,
    clippedGradient: clipped,
    learningRate,
    ...(gap.tokens === 0 ? {} : { largestSamplerGap: gap.largest, meanSamplerGap: gap.sum / gap.tokens }),
    statistics: {
      ...Object.fromEntries(
        Object.entries(statistics.sums).map(([name, sum]) => [name, sum / statistics.tokens]),
      ),
      ...statistics.maxima,
    },
  };
}

/** Rows with equal beginnings side by side: engines that pack prefixes find them in one microbatch. */
function byPrompt(left: Row, right: Row): number {
  const a = left.sequence.tokens;
  const b = right.sequence.tokens;
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

export function* microbatches<R extends { readonly sequence: TrainingSequence }>(
  rows: readonly R[],
  tokens: number,
): Generator<readonly R[]> {
  let batch: R[] = [];
  let held = 0;
  for (const row of rows) {
    const { length } = row.sequence.tokens;
    if (batch.length > 0 && held + length > tokens) {
      yield batch;
      batch = [];
      held = 0;
    }
    batch.push(row);
    held += length;
  }
  if (batch.length > 0) yield batch;
}

/** [S] each row's advantage for each of its tokens. */
function spread(batch: readonly Row[]): Float32Array {
  const all = new Float32Array(batch.reduce((sum, { scored }) => sum + scored, 0));
  let at = 0;
  for (const { scored, advantage } of batch) {
    all.fill(advantage, at, at + scored);
    at += scored;
  }
  return all;
}

/**
 * [S] ℓ_old: what the sampler recorded. Where filters changed the sampling distribution (top-k and so on) the recorded
 * log-probs belong to another distribution than the one that is trained, and ℓ itself stands in: the ratio is 1, which
 * is exact for one update a batch.
 */
function recordedLogprobs(
  batch: readonly Row[],
  { logprobs }: ForwardResult,
  gap: { sum: number; largest: number; tokens: number },
): Float32Array {
  const old = new Float32Array(logprobs.length);
  let at = 0;
  for (const { call, scored } of batch) {
    if (isFiltered(call.sampling)) {
      old.set(logprobs.subarray(at, at + scored), at);
    } else {
      old.set(call.logprobs, at);
      for (let i = 0; i < scored; i++) {
        const difference = Math.abs(logprobs[at + i]! - call.logprobs[i]!);
        gap.sum += difference;
        if (difference > gap.largest) gap.largest = difference;
      }
      gap.tokens += scored;
    }
    at += scored;
  }
  return old;
}

function stale(policy: TrainablePolicy, version: number, episode: string): RunStoppedError {
  return new RunStoppedError({
    code: "E_STALE_SAMPLE",
    message: `Episode ${episode} was sampled by version ${version} of policy "${policy.name}", which is now at version ${policy.version}; training is strictly on-policy.`,
    hint: "this is a fault of the engine or of Troupe; please report it.",
    facts: { policy: policy.name, sampled: version, now: policy.version },
  });
}
