/** @file The record of one episode: calls with their exact tokens, tool calls, rewards, and how it ended. */

import type {
  ChatMessage,
  ChatToolCall,
  SamplingSettings,
  StopReason,
  TrainingSequence,
} from "../engine/policy.ts";
import type { ParseOutcome, Stage } from "./agent.ts";
import { type EpisodeFailure, RewardError } from "./errors.ts";

/** How one effect ended. Closed. */
export type EffectStatus =
  | "complete"
  | "failed"
  /** Still running when the workflow returned or was stopped. */
  | "cancelled";

interface EffectRecord {
  /** Where in the episode: "" is the workflow itself, "research#0" its first child of that name, "research#0/check#2" deeper. */
  readonly scope: string;
  /** Place of its issue among all issues and settlements of the episode, whatever their kind. */
  readonly issued: number;
  /** Place of its settlement in the same count; −1 while open or if cancelled. A replay settles effects in this order. */
  readonly settled: number;
  /** Seconds after the episode began. */
  readonly startedAt: number;
  readonly seconds: number;
  readonly status: EffectStatus;
  readonly failure?: EpisodeFailure;
}

/** What an agent's prompt function returned: raw text, or messages for the chat template. */
export type Prompt = string | readonly ChatMessage[];

/** Who wrote a call's output. Closed. */
export type CallOrigin =
  /** The policy, token by token: may be trained on. */
  | "sampled"
  /** A policy that speaks text only (an API model): no tokens, never trained on. */
  | "text"
  /** Put in by hand in a fork: in the context of what follows, never trained on. */
  | "edited";

/** One model request. The arrays are empty unless the call is complete and the policy has tokens. */
export interface CallRecord extends EffectRecord {
  /** Position in the order in which calls were issued. */
  readonly id: number;
  readonly agent: string;
  /** The agent's how-manieth call in its scope, from 0. */
  readonly occurrence: number;
  readonly policy: string;
  /** The policy's version that sampled every token; −1 unless complete. */
  readonly version: number;
  readonly sampling: SamplingSettings;
  /** What was asked, before it became tokens. */
  readonly input: Prompt;
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
  readonly origin: CallOrigin;
  /** The earlier call whose prompt and output are, token by token, the beginning of this prompt. */
  readonly continues?: number;
  readonly stopReason?: StopReason;
  readonly parse?: ParseOutcome<unknown>;
  /** Tools that the model asked for in this output, and its text without them. */
  readonly toolCalls?: readonly ChatToolCall[];
  readonly content?: string;
  /** Of policies that report it: tokens as they count them, and US dollars. */
  readonly usage?: { readonly promptTokens: number; readonly outputTokens: number; readonly cost?: number };
}

export interface ToolRecord extends EffectRecord {
  readonly id: number;
  readonly tool: string;
  readonly occurrence: number;
  /** JSON values, as they were when the effect happened. */
  readonly input: unknown;
  readonly output?: unknown;
  /** The call whose output asked for it, where the model itself used the tool. */
  readonly call?: number;
}

/** A use of the episode's memory. */
export interface MemoryRecord extends EffectRecord {
  readonly operation: "get" | "put" | "keys";
  readonly key: string;
  /** Written or read; JSON. */
  readonly value?: unknown;
}

/** A random number or a time that the workflow asked for; "seconds" are those of its meter. */
export interface DrawRecord {
  readonly kind: "random" | "now" | "seconds";
  readonly scope: string;
  readonly issued: number;
  readonly value: number;
}

/** A child workflow: its calls carry its scope. */
export interface ChildRecord extends EffectRecord {
  readonly workflow: string;
  /** Its own scope; `scope` is the parent's. */
  readonly child: string;
  readonly task: unknown;
  readonly result?: unknown;
}

/** One reward term. Neither agent nor call: it counts for the whole trajectory, or the whole child. */
export interface RewardRecord {
  readonly name: string;
  readonly value: number;
  readonly agent?: string;
  readonly call?: number;
  /** Of a child workflow: the term counts for calls in this scope and below. Default: the whole trajectory. */
  readonly scope?: string;
  /** A value worth seeing that is not part of the reward (an inner term of a combinator). Default false. */
  readonly logged?: true;
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

/** One branching off: the episode is replayed up to call `at`; what follows is sampled under keys of this branch. */
export interface ForkPoint {
  readonly at: number;
  readonly branch: number;
}

export interface Trajectory {
  readonly id: string;
  readonly workflow: string;
  readonly stage: Stage;
  readonly identity: EpisodeIdentity;
  /** The run's seed: with the identity it names every random stream of the episode. */
  readonly seed: number;
  /** How this episode branched off others, oldest first; empty for one that began at its task. */
  readonly forks: readonly ForkPoint[];
  readonly task: unknown;
  readonly status: EffectStatus;
  readonly failure?: EpisodeFailure;
  readonly result?: unknown;
  readonly calls: readonly CallRecord[];
  readonly tools: readonly ToolRecord[];
  readonly children: readonly ChildRecord[];
  readonly memory: readonly MemoryRecord[];
  readonly draws: readonly DrawRecord[];
  readonly rewards: readonly RewardRecord[];
  /** How many of the rewards the workflow itself gave; those of the run's own terms come behind them. Default: all. */
  readonly ownRewards?: number;
  readonly seconds: number;
}

/** For example "train/000012/003/05", and "train/000012/003/05@4.1" for the branch 1 that begins at its call 4. */
export function episodeId(
  { purpose, step, group, sample }: EpisodeIdentity,
  forks: readonly ForkPoint[] = [],
): string {
  const pad = (value: number, width: number) => String(value).padStart(width, "0");
  const branches = forks.map(({ at, branch }) => `@${at}.${branch}`).join("");
  return `${purpose}/${pad(step, 6)}/${pad(group, 3)}/${pad(sample, 2)}${branches}`;
}

const sum = (terms: readonly RewardRecord[]) =>
  terms.reduce((total, { value, logged }) => (logged === true ? total : total + value), 0);

/** True if a term that was given in scope `above` counts for what happened in scope `scope`. */
export function covers(above: string | undefined, scope: string): boolean {
  return above === undefined || above === "" || scope === above || scope.startsWith(`${above}/`);
}

/** A term that counts, for the whole trajectory. */
export const isOfWhole = ({ agent, call, scope, logged }: RewardRecord): boolean =>
  agent === undefined && call === undefined && (scope ?? "") === "" && logged !== true;

/** Sum of the terms that count for the whole trajectory. */
export function trajectoryReward({ rewards }: Pick<Trajectory, "rewards">): number {
  return sum(rewards.filter(isOfWhole));
}

/**
 * An episode's reward where one number is shown or compared: `trajectoryReward`, or where nothing was given to the whole
 * trajectory, the mean over the calls that terms of an agent, a call or a child workflow cover.
 */
export function meanReward(trajectory: Pick<Trajectory, "rewards" | "calls">): number {
  if (trajectory.rewards.some(isOfWhole)) return trajectoryReward(trajectory);
  const covered = trajectory.calls
    .map((call) => callTerms(trajectory, call))
    .filter(({ length }) => length > 0);
  return covered.length === 0 ? 0 : covered.reduce((total, terms) => total + sum(terms), 0) / covered.length;
}

/** The terms that count for a call: the trajectory's, its child workflow's, its agent's, its own. */
export function callTerms(
  { rewards }: Pick<Trajectory, "rewards">,
  { id, agent, scope }: Pick<CallRecord, "id" | "agent" | "scope">,
): readonly RewardRecord[] {
  return rewards.filter((term) =>
    term.logged === true
      ? false
      : term.call === undefined
        ? covers(term.scope, scope) && (term.agent === undefined || term.agent === agent)
        : term.call === id,
  );
}

/**
 * What one call is rewarded with: trajectory terms + its child workflow's terms + its agent's terms + its own.
 * @throws RewardError if no term covers it: a call without a reward is never taken for a zero.
 */
export function callReward(trajectory: Trajectory, { id, agent, occurrence, scope }: CallRecord): number {
  const terms = callTerms(trajectory, { id, agent, scope });
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

/** The part of a call's reward that no other call gets: the terms given to it alone. */
export function ownReward({ rewards }: Pick<Trajectory, "rewards">, { id }: Pick<CallRecord, "id">): number {
  return sum(rewards.filter(({ call }) => call === id));
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
