/**
 * @file Role penalty: the team's reward for everybody, and what each role did wrong for that role alone,
 *
 *   r_c = team reward + P_role(c),   compared with the calls of the same agent
 *
 * MMOA-RAG's penalties: −0.5 for a rewriter that asks more than 4 questions or more than 300 characters, −1 for a selector
 * that names ids twice or that do not exist, −1 for an answer of more than 30 words. A penalty that depends on text alone
 * is given here; one that needs the workflow is a reward term of the agent, which counts without this part.
 *
 * Source: MMOA-RAG (arXiv 2501.15228). It trains with shared-actor MAPPO on one batch; baselines apart by agent: CHOSEN.
 */

import type { MethodCard } from "../card.ts";
import { MethodSettingsError } from "../errors.ts";
import type { RewardedCall, RewardedEpisode } from "../method.ts";
import type { CreditAssigner } from "../parts.ts";

/** At most 0. */
export type Penalty = (call: RewardedCall, episode: RewardedEpisode) => number;

/**
 * @param penalties by agent
 * @throws MethodSettingsError E_PENALTY when a penalty is above 0 or not a number.
 * @example
 * rolePenalty({ selector: ({ text = "" }) => (/^\d+(, \d+)*$/.test(text) ? 0 : -1) });
 */
export function rolePenalty(
  penalties: Readonly<Record<string, Penalty>> = {},
): CreditAssigner & { readonly wants?: never } {
  const of = (call: RewardedCall, episode: RewardedEpisode): number => {
    if (!Object.hasOwn(penalties, call.agent)) return 0;
    const penalty = penalties[call.agent]!(call, episode);
    if (penalty <= 0 && Number.isFinite(penalty)) return penalty;
    throw new MethodSettingsError({
      code: "E_PENALTY",
      message: `The penalty of agent "${call.agent}" is ${penalty} for call ${call.id ?? "?"} of episode ${episode.id ?? "?"}.`,
      hint: "a penalty is a number of at most 0; give what is worth something as a reward.",
      facts: { agent: call.agent },
    });
  };
  return Object.freeze({
    stage: "credit",
    name: "role-penalty",
    settings: { agents: Object.keys(penalties) },
    assign: ({ episodes }) => ({
      values: episodes.map((episode) =>
        Float64Array.from(episode.calls, (call) => call.reward + of(call, episode)),
      ),
      compared: episodes.map(({ calls }) => calls.map(({ agent }) => agent)),
    }),
  } satisfies CreditAssigner);
}

export const rolePenaltyCard: MethodCard = {
  name: "role-penalty",
  title: "Role penalty",
  stage: "credit",
  line: "the team's reward for everybody, and each role's own mistakes for that role alone",
  use: 'import { rolePenalty } from "troupe/methods"',
  formula: ["r_c = team reward + P_role(c), P ≤ 0, compared with the calls of the same agent"],
  defaults: { agents: { value: [], source: "none: penalties are the user's" } },
  source: "MMOA-RAG (arXiv 2501.15228)",
  notes: ["CHOSEN: baselines apart by agent"],
};
