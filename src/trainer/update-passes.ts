/**
 * @file The passes of one policy's update: what the weights and the reference say beforehand (ℓ, v, ℓ_ref), then for each
 * minibatch microbatches of forward → loss → backward and one step of the policy's optimiser. Normalisers are those of
 * the minibatch, so cutting it into microbatches changes nothing (UnityMAS-O averages within microbatches instead).
 */

import type { ForwardOptions, StepOptions } from "../engine/policy.ts";
import { addStatistics, type LossStatistics, type MethodNeeds, noStatistics } from "../methods/method.ts";
import { divided, joined, linksOf, microbatches, type Row, withAdvantage } from "./batch-rows.ts";
import type { OptimizerSettings } from "./config.ts";
import { learningRateAt } from "./learning-rate.ts";
import { importanceOf, oldLogprobsOf, SamplerGap, samplerLogprobsOf } from "./old-logprobs.ts";
import type { PolicyUpdate, UpdateOptions } from "./update.ts";
import { needsOfPolicy, updatePlan } from "./update-plan.ts";
import { noValueHead } from "./value-head.ts";

/** What one policy's update has done so far. `stale`: some of its calls were sampled by older weights. */
export class UpdatePasses {
  readonly #options: UpdateOptions;
  readonly #stale: boolean;
  readonly #gap = new SamplerGap();
  readonly #optimizer: StepOptions;
  readonly #needs: MethodNeeds;
  /** Value heads that the method needs. */
  readonly #heads: number;
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
    this.#needs = needsOfPolicy(options.settings.method, options.name);
    this.#heads = Number(this.#needs.values ?? 0);
  }

  /** Fills in what the method's estimate and several optimiser steps must know beforehand: v, ℓ, ℓ_ref. */
  async before(rows: readonly Row[]): Promise<void> {
    const { name, settings } = this.#options;
    const { epochs, minibatches } = updatePlan(settings.method, name);
    const several = epochs * minibatches > 1;
    const filtered = rows.some((row) => row.filtered);
    const { referenceInEstimate = false, entropyInEstimate = false } = this.#needs;
    const known = (several || referenceInEstimate) && filtered;
    if (this.#heads > 0 || entropyInEstimate || this.#stale || known) await this.#oldPass(rows);
    if (!referenceInEstimate) return;
    for (const batch of microbatches(rows, this.#options.settings.tokensPerMicrobatch))
      await this.#referencePass(batch);
  }

  async #oldPass(rows: readonly Row[]): Promise<void> {
    const { name, policy, settings } = this.#options;
    const values = this.#heads > 0;
    const entropy = this.#needs.entropyInEstimate === true;
    for (const batch of microbatches(rows, settings.tokensPerMicrobatch)) {
      const now = await policy.forward(
        batch.map(({ sequence }) => sequence),
        { values, ...(entropy ? { entropy } : {}) },
      );
      if (values && now.values === undefined) throw noValueHead(settings.method.name, name);
      divided(batch, now.logprobs, (row, part) => {
        row.proximal = part;
        this.#gap.add(row, part);
      });
      if (now.values !== undefined)
        divided(
          batch,
          now.values,
          (row, part) => {
            row.values = part;
          },
          this.#heads,
        );
      if (now.entropies !== undefined)
        divided(batch, now.entropies, (row, part) => {
          row.entropies = part;
        });
    }
    this.#gapKnown = true;
  }

  /** ℓ_ref of the rows. The reference is frozen, so later epochs need not ask again. */
  async #referencePass(rows: readonly Row[]): Promise<void> {
    const { reference } = this.#options;
    if (reference === undefined || rows.every((row) => row.reference !== undefined)) return;
    const { logprobs } = await reference.forward(rows.map(({ sequence }) => sequence));
    divided(rows, logprobs, (row, part) => {
      row.reference = part;
    });
  }

  /** `prepared`: what the method's `prepare` made of the whole batch. */
  async minibatch(rows: readonly Row[], prepared: unknown): Promise<void> {
    const { policy, settings, quietly = (work) => work() } = this.#options;
    const { tokensPerMicrobatch } = settings;
    // Tokens without advantage have no gradient: they count in the normaliser and cost no pass.
    const trained = this.#needs.tokensWithoutAdvantage ? rows : withAdvantage(rows);
    if (trained.length === 0) return;
    const totals = {
      sequences: rows.length,
      tokens: rows.reduce((sum, { scored }) => sum + scored, 0),
    };
    for (const batch of microbatches(trained, tokensPerMicrobatch)) await this.#pass(batch, totals, prepared);
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
    prepared: unknown,
  ): Promise<void> {
    const { name, policy, reference, settings, step } = this.#options;
    const heads = this.#heads;
    const { method } = settings;
    const needs = this.#needs;
    const sequences = batch.map(({ sequence }) => sequence);
    await this.#referencePass(batch);
    const asked: ForwardOptions = {
      entropy: needs.entropy,
      retain: true,
      ...(heads > 0 ? { values: true } : {}),
    };
    const now = await policy.forward(sequences, asked);
    const oldLogprobs = new Float32Array(now.logprobs.length);
    const samplerLogprobs = this.#stale ? new Float32Array(now.logprobs.length) : undefined;
    let at = 0;
    divided(batch, now.logprobs, (row, part) => {
      if (!this.#gapKnown) this.#gap.add(row, part);
      const old = oldLogprobsOf(row, part, this.#stale);
      oldLogprobs.set(old, at);
      samplerLogprobs?.set(samplerLogprobsOf(row, old), at);
      at += row.scored;
    });
    const links = linksOf(batch);
    const given = batch.some((row) => row.given)
      ? Uint8Array.from(batch, (row) => (row.given ? 1 : 0))
      : undefined;
    const output = method.loss({
      policy: name,
      step,
      places: batch.map(({ place }) => place),
      ...(prepared === undefined ? {} : { prepared }),
      ...(links === undefined ? {} : { links }),
      ...(given === undefined ? {} : { given }),
      updatesDone: this.#steps,
      lengths: batch.map(({ scored }) => scored),
      logprobs: now.logprobs,
      oldLogprobs,
      advantages: joined(batch, ({ advantages }) => advantages),
      totals,
      ...(now.entropies === undefined ? {} : { entropies: now.entropies }),
      ...(reference === undefined ? {} : { referenceLogprobs: joined(batch, (row) => row.reference!) }),
      ...(samplerLogprobs === undefined ? {} : { importance: joined(batch, importanceOf), samplerLogprobs }),
      ...(heads > 0 && now.values !== undefined
        ? {
            values: now.values,
            oldValues: joined(batch, ({ values }) => values!, heads),
            ...(batch.every(({ returns }) => returns !== undefined)
              ? { returns: joined(batch, ({ returns }) => returns!, heads) }
              : {}),
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

/** The run's optimiser settings, with the policy's own in their place where it has some. */
function optimizerOf({ name, step, settings }: UpdateOptions): StepOptions {
  const own: OptimizerSettings = Object.hasOwn(settings.optimizers, name) ? settings.optimizers[name]! : {};
  const norm = own.maxGradientNorm ?? settings.maxGradientNorm;
  return {
    learningRate: learningRateAt(own.learningRate ?? settings.learningRate, step, settings.steps),
    betas: own.betas ?? settings.betas,
    weightDecay: own.weightDecay ?? settings.weightDecay,
    ...(own.epsilon === undefined ? {} : { epsilon: own.epsilon }),
    ...(Number.isFinite(norm) ? { maxGradientNorm: norm } : {}),
  };
}
