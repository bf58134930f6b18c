/** @file The record of one episode: calls with their exact tokens, tool calls, rewards, and how it ended. */

import type { SamplingSettings, StopReason, TrainingSequence } from "../engine/policy.ts";
import type { ParseOutcome, Stage } from "./agent.ts";
import { type EpisodeFailure, RewardError } from "./errors.ts";

/** How one effect ended. Closed. */
export type EffectStatus =
  | "complete"
  | "failed"
  /** Still running when the workflow returned or was stopped. */
  | "cancelled";

interface EffectRecord {
  /** Seconds after the episode began. */
  readonly startedAt: number;
  readonly seconds: number;
  readonly status: EffectStatus;
  readonly failure?: EpisodeFailure;
}

/** One model request. The arrays are empty unless the call is complete. */
export interface CallRecord extends EffectRecord {
  /** Position in the order in which calls were issued. */
  readonly id: number;
  readonly agent: string;
  /** The agent's how-manieth call in this episode, from 0. */
  readonly occurrence: number;
  readonly policy: string;
  /** The policy's version that sampled every token; −1 unless complete. */
  readonly version: number;
  readonly sampling: SamplingSettings;
  readonly prompt: Int32Array;
  /** Sampled ids, end token included. */
  readonly output: Int32Array;
  /** [output.length] under the distribution that was sampled from. */
  readonly logprobs: Float32Array;
  /** [output.length] under the plain softmax. */
  readonly plainLogprobs: Float32Array;
  /** [output.length] 1 where the policy sampled the token. Prompts are never scored. */
  readonly mask: Uint8Array;
  readonly text: string;
  readonly stopReason?: StopReason;
  readonly parse?: ParseOutcome<unknown>;
}

export interface ToolRecord extends EffectRecord {
  readonly id: number;
  readonly tool: string;
  readonly occurrence: number;
  readonly input: unknown;
  readonly output?: unknown;
}

/** One reward term. Neither agent nor call: it counts for the whole trajectory. */
export interface RewardRecord {
  readonly name: string;
  readonly value: number;
  readonly agent?: string;
  readonly call?: number;
}

/** What an episode is run for, and its place in the run. */
export interface EpisodeIdentity {
  /** "train", "evaluate", "dry", …: part of the random keys. */
  readonly purpose: string;
  readonly step: number;
  /** Number of the group in its step, or of the task in an evaluation. */
  readonly group: number;
  /** Index of the task in its source. */
  readonly task: number;
  readonly sample: number;
}

export interface Trajectory {
  readonly id: string;
  readonly workflow: string;
  readonly stage: Stage;
  readonly identity: EpisodeIdentity;
  readonly task: unknown;
  readonly status: EffectStatus;
  readonly failure?: EpisodeFailure;
  readonly result?: unknown;
  readonly calls: readonly CallRecord[];
  readonly tools: readonly ToolRecord[];
  readonly rewards: readonly RewardRecord[];
  readonly seconds: number;
}

export function episodeId({ purpose, step, group, sample }: EpisodeIdentity): string {
  const pad = (value: number, width: number) => String(value).padStart(width, "0");
  return `${purpose}/${pad(step, 6)}/${pad(group, 3)}/${pad(sample, 2)}`;
}

const sum = (terms: readonly RewardRecord[]) => terms.reduce((total, { value }) => total + value, 0);

/** Sum of the terms that count for the whole trajectory. */
export function trajectoryReward({ rewards }: Pick<Trajectory, "rewards">): number {
  return sum(rewards.filter(({ agent, call }) => agent === undefined && call === undefined));
}

/**
 * What one call is rewarded with: trajectory terms + its agent's terms + its own.
 * @throws RewardError if no term covers it: a call without a reward is never taken for a zero.
 */
export function callReward(trajectory: Trajectory, { id, agent, occurrence }: CallRecord): number {
  const terms = trajectory.rewards.filter((term) =>
    term.call === undefined ? term.agent === undefined || term.agent === agent : term.call === id,
  );
  if (terms.length === 0) {
    throw new RewardError({
      boundary: "reward",
      code: "E_REWARD_MISSING",
      message: `Call ${id} (agent "${agent}", occurrence ${occurrence}) of episode ${trajectory.id} in workflow "${trajectory.workflow}" has no reward: the workflow rewarded other agents or calls only.`,
      hint: `call reward(value) once for the whole trajectory, or reward(value, { agent: "${agent}" }).`,
      facts: { episode: trajectory.id, agent, call: id },
    });
  }
  return sum(terms);
}

/** A call as a row of training data: the prompt is context, every sampled token is scored. */
export function trainingSequence({ prompt, output, mask, sampling }: CallRecord): TrainingSequence {
  const tokens = new Int32Array(prompt.length + output.length);
  tokens.set(prompt);
  tokens.set(output, prompt.length);
  const scored = new Uint8Array(tokens.length);
  scored.set(mask, prompt.length);
  const { temperature } = sampling;
  return temperature === undefined ? { tokens, mask: scored } : { tokens, mask: scored, temperature };
}

/** True if the recorded log-probs are those of a changed distribution, which training's forward pass does not compute. */
export function isFiltered({
  topK,
  topP,
  minP,
  repetitionPenalty,
  presencePenalty,
  logitBias,
}: SamplingSettings): boolean {
  return (
    (topK ?? 0) !== 0 ||
    (topP ?? 1) !== 1 ||
    (minP ?? 0) !== 0 ||
    (repetitionPenalty ?? 1) !== 1 ||
    (presencePenalty ?? 0) !== 0 ||
    Object.keys(logitBias ?? {}).length > 0
  );
}
