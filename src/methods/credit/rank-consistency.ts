/**
 * @file Rank consistency: the more an agent's local rewards order the episodes as the outcome does, the more of the outcome
 * it is given,
 *
 *   v_n = NDCG of the order by local_n, with the outcome as gain;   w_n = e^{v_n} / Σ_m e^{v_m}
 *   r_n = local_n + w_n · R,   compared with the calls of the same agent
 *
 * Source: CoMAM (arXiv 2603.12631), notes only. RECONSTRUCTED: NDCG with gain R − min R and discount log₂(rank + 1);
 * CHOSEN: equal local rewards share the mean of their places' discounts, so that batch order plays no part, and without
 * any spread of the outcome v = 1 for all. An agent's local reward in an episode: the mean over its calls of what it is
 * rewarded with beyond the trajectory's reward.
 */

import type { MethodCard } from "../card.ts";
import type { RewardedEpisode } from "../method.ts";
import type { CreditAssigner } from "../parts.ts";

export interface RankConsistencySettings {
  /** An agent's local reward in an episode. Default: the mean over its calls of their reward less the trajectory's. */
  readonly local?: (agent: string, episode: RewardedEpisode) => number;
}

const beyondOutcome = (agent: string, { calls, reward }: RewardedEpisode): number => {
  const own = calls.filter((call) => call.agent === agent);
  return own.reduce((sum, call) => sum + call.reward - reward, 0) / own.length;
};

export function rankConsistency({
  local = beyondOutcome,
}: RankConsistencySettings = {}): CreditAssigner & { readonly wants?: never } {
  return Object.freeze({
    stage: "credit",
    name: "rank-consistency",
    settings: { local: local === beyondOutcome ? "beyond the outcome" : "a function of the caller" },
    assign: ({ episodes }) => {
      const agents = [...new Set(episodes.flatMap(({ calls }) => calls.map(({ agent }) => agent)))];
      const consistencies = agents.map((agent) => {
        const taking = episodes.filter(({ calls }) => calls.some((call) => call.agent === agent));
        return ndcg(
          taking.map((episode) => local(agent, episode)),
          taking.map(({ reward }) => reward),
        );
      });
      const shares = new Map(softmax(consistencies).map((share, n) => [agents[n]!, share]));
      return {
        values: episodes.map((episode) =>
          Float64Array.from(
            episode.calls,
            ({ agent }) => local(agent, episode) + shares.get(agent)! * episode.reward,
          ),
        ),
        compared: episodes.map(({ calls }) => calls.map(({ agent }) => agent)),
      };
    },
  } satisfies CreditAssigner);
}

/** w = e^v / Σ e^v */
export function softmax(values: readonly number[]): number[] {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** NDCG of the order by `scores`, largest first; equal scores share their places. 1 without any spread of the gains. */
export function ndcg(scores: readonly number[], outcomes: readonly number[]): number {
  const least = Math.min(...outcomes);
  const gains = outcomes.map((outcome) => outcome - least);
  const best = discounted(gains, gains);
  return best > 0 ? discounted(scores, gains) / best : 1;
}

function discounted(scores: readonly number[], gains: readonly number[]): number {
  const order = scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  let sum = 0;
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && scores[order[to]!] === scores[order[from]!]) to++;
    let discounts = 0;
    for (let rank = from; rank < to; rank++) discounts += 1 / Math.log2(rank + 2);
    for (let rank = from; rank < to; rank++) sum += (gains[order[rank]!]! * discounts) / (to - from);
    from = to;
  }
  return sum;
}

export const rankConsistencyCard: MethodCard = {
  name: "rank-consistency",
  title: "Rank consistency (CoMAM)",
  stage: "credit",
  line: "agents whose own rewards order episodes as the outcome does get more of the outcome",
  use: 'import { rankConsistency } from "troupe/methods"',
  formula: ["v_n = NDCG(order by local_n, gains = outcome);   w = softmax(v);   r_n = local_n + w_n · R"],
  defaults: { local: { value: "beyond the outcome", source: "CHOSEN: the agent's terms and its own" } },
  source: "CoMAM (arXiv 2603.12631)",
  notes: ["RECONSTRUCTED: gain and discount of the NDCG", "CHOSEN: ties share their places"],
};
