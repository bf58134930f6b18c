/**
 * @file Terms about how much an episode used: a bonus for each further use that shrinks, tokens as a share of a budget,
 * and a penalty for outputs that come near their limit.
 */

import type { CallRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { rewardFailure } from "./failures.ts";
import {
  type FinishedEpisode,
  RewardDefinitionError,
  type RewardFunction,
  type RewardTerm,
} from "./reward.ts";
import { callRewards, groupReward, perEpisode, reward } from "./terms.ts";

export interface DecayOptions<Task> {
  /** n ≥ 0: how often it was done. Default: completed tool uses. */
  readonly count?: RewardFunction<Task>;
  /** r0. Default 0.3 (RECONSTRUCTED; the value of our source's example). */
  readonly first?: number;
  /** k in (0, 1). Default 0.5 (RECONSTRUCTED). */
  readonly ratio?: number;
}

/** r0 (1 − kⁿ) / (1 − k): the first use earns r0, each further one k times the one before. */
export const decayed = (count: number, first: number, ratio: number): number =>
  (first * (1 - ratio ** count)) / (1 - ratio);

/**
 * Pays for each use of something, less each time, against doing too little. Source: progressive retrieval attenuation of
 * GraphRAG-R1 (arXiv 2507.23581). RECONSTRUCTED.
 *
 * @example
 * const searched = decay("searched", { count: toolUses("search") });
 */
export function decay<Task = UntypedTask>(
  name: string,
  { count = toolUses(), first = 0.3, ratio = 0.5 }: DecayOptions<NoInfer<Task>> = {},
): RewardTerm<Task> {
  if (!(ratio > 0 && ratio < 1 && Number.isFinite(first))) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" decays from ${first} by ${ratio}; the ratio must be between 0 and 1.`,
    });
  }
  return reward<Task>(name, async (episode, context) => {
    const n = await count(episode, context);
    // 1 − kⁿ of a negative or undefined count would be a number that means nothing.
    return typeof n !== "number" || n < 0 ? Number.NaN : decayed(n, first, ratio);
  });
}

/** How often tools were used with success: all, or those of one name. */
export function toolUses(tool?: string): (episode: FinishedEpisode) => number {
  return ({ trajectory }) =>
    trajectory.tools.filter(
      (record) => record.status === "complete" && (tool === undefined || record.tool === tool),
    ).length;
}

/** Completed model calls: all, or those of one agent. */
export function callCount(agent?: string): (episode: FinishedEpisode) => number {
  return ({ trajectory }) => callsOf(trajectory.calls, agent).length;
}

/** Output tokens of completed calls, of policies that speak text as they count them. */
export function outputTokens(agent?: string): (episode: FinishedEpisode) => number {
  return ({ trajectory }) =>
    callsOf(trajectory.calls, agent).reduce(
      (sum, { output, usage }) => sum + (output.length > 0 ? output.length : (usage?.outputTokens ?? 0)),
      0,
    );
}

const callsOf = (calls: readonly CallRecord[], agent: string | undefined) =>
  calls.filter((call) => call.status === "complete" && (agent === undefined || call.agent === agent));

/**
 * Output tokens ÷ T_max in [0, 1]; give it a negative weight. T_max is the largest of the group, or a budget above which
 * the value stays 1. Source: Optima (arXiv 2410.08115), whose code weighs it −0.6 and takes the group's maximum for its
 * fine-tuning variant.
 */
export function tokenShare(
  name: string,
  { agent, budget }: { readonly agent?: string; readonly budget?: number } = {},
): RewardTerm<unknown> {
  if (budget !== undefined && !(budget > 0)) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" has a budget of ${budget} tokens; it must be above 0.`,
    });
  }
  const count = outputTokens(agent);
  return {
    ...groupReward<unknown>(name, (group) => {
      const tokens = group.map(count);
      const most = budget ?? Math.max(...tokens);
      return tokens.map((used) => (most === 0 ? 0 : Math.min(1, used / most)));
    }),
    ...(agent === undefined ? {} : { needs: { agents: [agent] } }),
  };
}

/**
 * 0 up to `maxTokens − buffer` tokens, then falling to −factor at `maxTokens`. Source: soft overlong punishment of DAPO
 * (Yu et al., arXiv 2503.14476), in the form of MARTI's code.
 */
export function overlongPenalty(length: number, { maxTokens, buffer, factor = 1 }: OverlongOptions): number {
  const excess = Math.min(length - (maxTokens - buffer), buffer);
  return excess > 0 ? (-excess / buffer) * factor : 0;
}

export interface OverlongOptions {
  readonly maxTokens: number;
  /** Tokens before the limit in which the penalty grows. MARTI: 2048 of 32,768. */
  readonly buffer: number;
  /** Default 1. */
  readonly factor?: number;
}

/** {@link overlongPenalty} of each completed call of an agent, or of all agents. */
export function overlong(
  name: string,
  { agent, ...options }: OverlongOptions & { readonly agent?: string },
): RewardTerm<unknown> {
  if (!(options.buffer > 0 && options.buffer <= options.maxTokens)) {
    throw new RewardDefinitionError({
      code: "E_REWARD_RANGE",
      message: `Reward "${name}" has a buffer of ${options.buffer} before ${options.maxTokens} tokens; it must be above 0 and at most all of them.`,
    });
  }
  return {
    ...callRewards<unknown>(name, (call) =>
      agent === undefined || call.agent === agent ? overlongPenalty(call.output.length, options) : undefined,
    ),
    ...(agent === undefined ? {} : { needs: { agents: [agent] } }),
  };
}

export interface FormatOptions {
  /** Default: all agents. */
  readonly agents?: readonly string[];
  /** Default 0. */
  readonly legal?: number;
  /** Default −1. */
  readonly illegal?: number;
}

/**
 * Whether agents' parsers took their outputs, call by call: 0 if so, −1 if not. Source: the format reward of UnityMAS-O
 * (arXiv 2605.26646), whose configurations set 0 and −1 with weight 1. An output that asks for tools is not parsed and
 * not rated.
 */
export function parsed(
  name: string,
  { agents, legal = 0, illegal = -1 }: FormatOptions = {},
): RewardTerm<unknown> {
  return {
    ...callRewards<unknown>(name, ({ agent, parse }) => {
      if (parse === undefined || (agents !== undefined && !agents.includes(agent))) return undefined;
      return parse.ok ? legal : illegal;
    }),
    ...(agents === undefined ? {} : { needs: { agents } }),
  };
}

/** The same for the whole trajectory, from the user's own rule: legal → 0, illegal → −1. */
export function format<Task = UntypedTask>(
  name: string,
  isLegal: (episode: FinishedEpisode<NoInfer<Task>>) => boolean | Promise<boolean>,
  { legal = 0, illegal = -1 }: Omit<FormatOptions, "agents"> = {},
): RewardTerm<Task> {
  return perEpisode<Task>(name, async (episode) => {
    const answer: unknown = await isLegal(episode);
    if (typeof answer === "boolean") return { rewards: [{ name, value: answer ? legal : illegal }] };
    const failure = rewardFailure(name, episode.trajectory, {
      code: "E_REWARD_MISSING",
      says: `cannot be told: the function returned ${answer === undefined ? "undefined" : `a ${typeof answer}`}, not true or false.`,
    });
    return { failure };
  });
}
