/**
 * @file Supervised fine-tuning of one policy on demonstrations: what to answer when asked so. For a warm start from a
 * better team's episodes, or from data.
 *
 *   L = −1/T Σ_t ℓ_t over the tokens of the answers, their end token included
 */

import type { ChatMessage, TrainablePolicy, TrainingSequence } from "../engine/policy.ts";
import type { PolicySpec } from "../engine/policy-spec.ts";
import { likelihood } from "../methods/loss/likelihood.ts";
import { stream } from "../random/stream.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { microbatches } from "./batch-rows.ts";
import { TrainConfigError } from "./errors.ts";
import { type LearningRate, learningRateAt } from "./learning-rate.ts";

export interface Demonstration {
  /** As an agent's prompt function gives it: text, or messages for the chat template. */
  readonly prompt: string | readonly ChatMessage[];
  readonly answer: string;
}

export interface FineTuneOptions {
  readonly policy: PolicySpec<TrainablePolicy>;
  readonly demonstrations: readonly Demonstration[];
  /** Optimiser steps. */
  readonly steps: number;
  /** Where the weights go afterwards, as `local(…)` reads them. */
  readonly saveTo: string;
  /** Demonstrations a step, drawn without repeats until all have been seen. Default 32. */
  readonly perStep?: number;
  /** A constant or a schedule. Default 1e-5. */
  readonly learningRate?: LearningRate;
  /** Decoupled. Default 0. */
  readonly weightDecay?: number;
  /** Global norm. Default 1. */
  readonly maxGradientNorm?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Training tokens a forward pass. Default 32,768. */
  readonly tokensPerMicrobatch?: number;
  /** Hears of each step: nats per token of the answers. */
  readonly onStep?: (facts: {
    readonly step: number;
    readonly loss: number;
    readonly tokens: number;
  }) => void;
  /** Stops before the next step; what was learned is saved. */
  readonly signal?: AbortSignal;
}

export interface FineTuned {
  /** Steps taken. */
  readonly steps: number;
  /** [steps] nats per token of the answers, before each step. */
  readonly losses: readonly number[];
  readonly saved: string;
}

/**
 * @throws TrainConfigError E_DEMONSTRATION for one that is empty, or longer than the policy's context.
 * @example
 * await fineTune({ policy: local("…"), demonstrations: demonstrationsOf(teacherEpisodes), steps: 100, saveTo: "warm" });
 */
export async function fineTune(options: FineTuneOptions): Promise<FineTuned> {
  const { policy: spec, demonstrations, steps, saveTo, seed = 0, perStep = 32, signal } = options;
  const { learningRate = 1e-5, weightDecay = 0, maxGradientNorm = 1, tokensPerMicrobatch = 32_768 } = options;
  if (demonstrations.length === 0) throw wrong("There are no demonstrations.", "pass at least one.");
  const policy = await spec.open({ name: "fine-tuned", seed });
  try {
    const rows = demonstrations.map((demonstration, index) => rowOf(policy, demonstration, index));
    const { loss } = likelihood();
    const losses: number[] = [];
    for (let step = 1; step <= steps && signal?.aborted !== true; step++) {
      const chosen = drawn(rows, perStep, step, seed);
      const tokens = chosen.reduce((sum, { scored }) => sum + scored, 0);
      let total = 0;
      for (const batch of microbatches(chosen, tokensPerMicrobatch)) {
        const sequences = batch.map(({ sequence }) => sequence);
        const { logprobs } = await policy.forward(sequences, { retain: true });
        const output = loss({
          lengths: batch.map(({ scored }) => scored),
          logprobs,
          oldLogprobs: logprobs,
          advantages: new Float32Array(logprobs.length).fill(1),
          totals: { sequences: chosen.length, tokens },
        });
        await policy.backward(sequences, output.gradients);
        total += output.loss;
      }
      const norm = Number.isFinite(maxGradientNorm) ? { maxGradientNorm } : {};
      await policy.step({ learningRate: learningRateAt(learningRate, step, steps), weightDecay, ...norm });
      losses.push(total);
      options.onStep?.({ step, loss: total, tokens });
    }
    await policy.save(saveTo);
    return { steps: losses.length, losses, saved: saveTo };
  } finally {
    await policy.close();
  }
}

interface Row {
  readonly sequence: TrainingSequence;
  /** Tokens of the answer. */
  readonly scored: number;
}

function rowOf(
  { tokenizer, contextLength }: TrainablePolicy,
  demonstration: Demonstration,
  index: number,
): Row {
  const { prompt, answer } = demonstration;
  const asked =
    typeof prompt === "string"
      ? tokenizer.encode(prompt)
      : tokenizer.encodeChat(prompt, { addGenerationPrompt: true });
  const text = tokenizer.encode(answer, { addSpecial: false });
  const end = tokenizer.endTokens.slice(0, 1);
  const tokens = Int32Array.from([...asked, ...text, ...end]);
  if (asked.length === 0 || text.length === 0)
    throw wrong(
      `Demonstration ${index} has an empty ${asked.length === 0 ? "prompt" : "answer"}.`,
      "leave it out.",
    );
  if (tokens.length > contextLength)
    throw wrong(
      `Demonstration ${index} has ${tokens.length} tokens; the policy's context holds ${contextLength}.`,
      "shorten it or leave it out; nothing is cut silently.",
    );
  const mask = new Uint8Array(tokens.length).fill(1, asked.length);
  return { sequence: { tokens, mask }, scored: tokens.length - asked.length };
}

/** Every pass over the demonstrations is a new keyed shuffle. */
function drawn(rows: readonly Row[], count: number, step: number, seed: number): Row[] {
  const chosen: Row[] = [];
  let pass = -1;
  let order: readonly Row[] = [];
  for (let position = (step - 1) * count; position < step * count; position++) {
    if (Math.floor(position / rows.length) !== pass) {
      pass = Math.floor(position / rows.length);
      order = stream(seed, "demonstrations", pass).shuffled(rows);
    }
    chosen.push(order[position % rows.length]!);
  }
  return chosen;
}

/**
 * What the calls of recorded episodes were asked and answered: a team of API models or larger policies as the teacher.
 *
 * @param agents whose calls; default: all
 */
export function demonstrationsOf(
  trajectories: readonly Trajectory[],
  { agents }: { readonly agents?: readonly string[] } = {},
): readonly Demonstration[] {
  return trajectories
    .filter(({ status }) => status === "complete")
    .flatMap(({ calls }) =>
      calls
        .filter(
          ({ status, agent, text }) =>
            status === "complete" && text !== "" && (agents === undefined || agents.includes(agent)),
        )
        .map(({ input, text }) => ({ prompt: input, answer: text })),
    );
}

const wrong = (message: string, hint: string) =>
  new TrainConfigError({ code: "E_DEMONSTRATION", message, hint });
