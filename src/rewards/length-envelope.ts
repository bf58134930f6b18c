/**
 * @file An envelope on lengths: 0 up to a tokens and from d on, 1 from b to c, and straight lines between; for tasks that
 * want answers of some length, neither shorter nor longer.
 * Source: G²RPO in OpenVLThinkerV2 (arXiv 2604.08539) and its official code, where each kind of task has one; the numbers
 * were not published, and it is off in the released code.
 */

import type { MethodCard } from "../methods/card.ts";
import type { RewardTerm } from "./reward.ts";
import { wrongRewardSetting } from "./setting.ts";
import { callRewards } from "./terms.ts";

/** Tokens a ≤ b ≤ c ≤ d. */
export type LengthBounds = readonly [none: number, full: number, stillFull: number, noneAgain: number];

/** @returns in [0, 1] */
export function envelope(length: number, [a, b, c, d]: LengthBounds): number {
  if (length >= b && length <= c) return 1;
  if (length <= a || length >= d) return 0;
  return length < b ? (length - a) / (b - a) : (d - length) / (d - c);
}

/**
 * {@link envelope} of the sampled tokens of each completed call of an agent, or of all agents.
 * @throws RewardDefinitionError E_REWARD_RANGE
 * @example
 * const length = lengthEnvelope("length", { bounds: [0, 50, 300, 600], agent: "writer" });
 */
export function lengthEnvelope(
  name: string,
  { bounds, agent }: { readonly bounds: LengthBounds; readonly agent?: string },
): RewardTerm<unknown> {
  const rising = bounds.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound >= bounds[i - 1]!));
  if (bounds.length !== 4 || !rising)
    throw wrongRewardSetting(
      `Reward "${name}"`,
      "bounds",
      bounds,
      "four numbers, none smaller than the one before",
    );
  return {
    ...callRewards<unknown>(name, (call) =>
      agent === undefined || call.agent === agent ? envelope(call.output.length, bounds) : undefined,
    ),
    ...(agent === undefined ? {} : { needs: { agents: [agent] } }),
  };
}

export const lengthEnvelopeCard: MethodCard = {
  name: "length-envelope",
  title: "Length envelope (G²RPO)",
  stage: "reward",
  line: "pays outputs of a length between two bounds, less outside them: where tasks want answers of some length",
  use: 'import { lengthEnvelope } from "troupe/rewards"',
  formula: ["0 up to a and from d on, 1 from b to c, straight lines between"],
  defaults: {},
  source: "OpenVLThinkerV2 (arXiv 2604.08539), official code",
};
