/**
 * @file Reward of one step on a recorded screen: r = 0.1 · format + 0.9 · action, action 0 if it cannot be read, 0.1 of another type
 * than the recorded one, 0.5 of its type, 1 equal to it.
 * Source: UI-S1, semi-online RL (arXiv 2509.11543) and its code.
 */

import { isDeepStrictEqual } from "node:util";
import type { ChatToolCall } from "../engine/policy.ts";
import type { MethodCard } from "../methods/card.ts";
import type { CallRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite } from "./setting.ts";
import { callRewards } from "./terms.ts";

const defaults = { format: 0.1, action: 0.9 } as const;

/** How an action compares with the recorded one. Closed. */
export type ActionMatch = "unreadable" | "other type" | "same type" | "exact";

const actionValues: Readonly<Record<ActionMatch, number>> = {
  unreadable: 0,
  "other type": 0.1,
  "same type": 0.5,
  exact: 1,
};

export interface StepOutcome {
  /** Whether the output has its tags. */
  readonly format: boolean;
  readonly action: ActionMatch;
}

export interface StepWeights {
  /** Default 0.1 (official code). */
  readonly format?: number;
  /** Default 0.9 (official code). */
  readonly action?: number;
}

/** @throws RewardDefinitionError if a weight is not finite */
export function stepReward(
  { format, action }: StepOutcome,
  { format: form = defaults.format, action: act = defaults.action }: StepWeights = {},
): number {
  checkFinite("A step reward", "a weight", [form, act]);
  return form * (format ? 1 : 0) + act * actionValues[action];
}

/** By the action's name as its type, and by everything. `made` undefined: it could not be read. */
export function actionMatch(made: ChatToolCall | undefined, recorded: ChatToolCall): ActionMatch {
  if (made === undefined) return "unreadable";
  if (made.name !== recorded.name) return "other type";
  return isDeepStrictEqual(made.arguments, recorded.arguments) ? "exact" : "same type";
}

/**
 * {@link stepReward} of each complete call of which `outcome` says something.
 * @throws RewardDefinitionError
 *
 * @example
 * const steps = stepRewards<Recording>("steps", {
 *   agent: "actor",
 *   outcome: (call, { task }) => ({ format: call.parse?.ok === true, action: actionMatch(call.toolCalls?.[0], task.actions[call.occurrence]!) }),
 * });
 */
export function stepRewards<Task = UntypedTask>(
  name: string,
  {
    outcome,
    agent,
    ...weights
  }: StepWeights & {
    /** Undefined: nothing to say of this call. */
    readonly outcome: (call: CallRecord, episode: FinishedEpisode<NoInfer<Task>>) => StepOutcome | undefined;
    /** Whose calls, by default all agents'. */
    readonly agent?: string;
  },
): RewardTerm<Task> {
  stepReward({ format: true, action: "exact" }, weights);
  const term = callRewards<Task>(name, (call, episode) => {
    if (agent !== undefined && call.agent !== agent) return undefined;
    const known = outcome(call, episode);
    return known === undefined ? undefined : stepReward(known, weights);
  });
  return agent === undefined ? term : { ...term, needs: { agents: [agent] } };
}

export const stepRewardCard: MethodCard = {
  name: "step-reward",
  title: "Step reward (UI-S1)",
  stage: "reward",
  line: "grades each step against a recorded one: a little for the format, most for the action, half of that for its type",
  use: 'import { stepRewards } from "troupe/rewards"',
  formula: ["r = 0.1 · format + 0.9 · action; action: unreadable 0, other type 0.1, same type 0.5, exact 1"],
  defaults: {
    format: { value: defaults.format, source: "official code" },
    action: { value: defaults.action, source: "official code" },
  },
  source: "UI-S1, arXiv 2509.11543",
};
