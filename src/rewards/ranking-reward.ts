/**
 * @file Ranking reward of R³, for responses that failed or were cut: peak_i = mean of the k_i largest token entropies,
 * k_i = max(1, ⌊p L_i⌋), global_i = mean of all; i dominates j if peak_i > peak_j and global_i < global_j; ranked by how many
 * each dominates, rank r of N earns R_max (1 − r / (N − 1)). Thinking hard at few places and calmly elsewhere is worth more,
 * so that a group of failures still has a signal. Its bonus for short correct answers is `length-bonus.ts`.
 * Source: "R³" (arXiv 2601.19620), read in full. p, R_max were not retrieved: CHOSEN 0.2 and 0.5. CHOSEN: ties share the mean
 * of their ranks, since the order of a batch says nothing; one response alone earns 0.
 */

import type { MethodCard } from "../methods/card.ts";
import type { CallRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { groupReward } from "./terms.ts";

const defaults = { topShare: 0.2, largest: 0.5, ties: "average" } as const;

export interface RankingOptions {
  /** p in (0, 1]: share of a response's tokens whose entropies make its peak. Default 0.2 (CHOSEN). */
  readonly topShare?: number;
  /** R_max > 0: of the first rank. Keep it below the reward of a correct answer. Default 0.5 (CHOSEN). */
  readonly largest?: number;
  /** "average": tied responses share the mean of their ranks. "order": the earlier one ranks higher. Default "average". */
  readonly ties?: "average" | "order";
}

export interface EntropyProfile {
  readonly peak: number;
  readonly global: number;
}

/** @param entropies [tokens], at least one */
export function entropyProfile(
  entropies: readonly number[],
  topShare: number = defaults.topShare,
): EntropyProfile {
  if (!(topShare > 0 && topShare <= 1))
    throw wrongRewardSetting("A ranking reward", "topShare", topShare, "above 0 and at most 1");
  checkFinite("A ranking reward", "the entropy", entropies);
  if (entropies.length === 0)
    throw wrongRewardSetting(
      "A ranking reward",
      "entropies",
      entropies,
      "a list of one number a token, of at least one",
    );
  // 0.29 · 100 is 28.999999999999996: the floor is meant of 29.
  const count = Math.max(1, Math.floor(topShare * entropies.length + 1e-9));
  const top = [...entropies].sort((left, right) => right - left).slice(0, count);
  return { peak: meanOf(top), global: meanOf(entropies) };
}

/** [N] S_i: how many others each dominates. */
export function dominance(profiles: readonly EntropyProfile[]): number[] {
  return profiles.map(
    (one) => profiles.filter((other) => one.peak > other.peak && one.global < other.global).length,
  );
}

/**
 * @param entropies [N][tokens] H of each sampled token, of the responses of one group that failed or were cut
 * @returns [N] in [0, R_max]; with averaged ties their mean is R_max / 2
 * @throws RewardDefinitionError
 */
export function rankingReward(
  entropies: readonly (readonly number[])[],
  { topShare = defaults.topShare, largest = defaults.largest, ties = defaults.ties }: RankingOptions = {},
): number[] {
  if (!(largest > 0 && Number.isFinite(largest)))
    throw wrongRewardSetting("A ranking reward", "largest", largest, "a finite number above 0");
  const dominated = dominance(entropies.map((own) => entropyProfile(own, topShare)));
  if (dominated.length < 2) return dominated.map(() => 0);
  return dominated.map((own, i) => {
    const above = dominated.filter((other) => other > own).length;
    const equal = dominated.filter(
      (other, j) => other === own && (ties === "average" ? j !== i : j < i),
    ).length;
    const rank = above + (ties === "average" ? equal / 2 : equal);
    return largest * (1 - rank / (dominated.length - 1));
  });
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

export interface RankFailedOptions<Task> extends RankingOptions {
  readonly failed: (episode: FinishedEpisode<Task>) => boolean;
  /** [tokens] of one episode. Default: −ℓ of each sampled token, which is H in the mean (CHOSEN: H is not recorded). */
  readonly entropies?: (episode: FinishedEpisode<Task>) => readonly number[];
  /** Default: the tokens of all agents, call after call. */
  readonly agent?: string;
}

/**
 * {@link rankingReward} over a group's failed episodes; the others get 0 of it. Episodes without a token that the policy
 * sampled rank nowhere and get 0 as well.
 *
 * @example
 * const reward = sum({ solved, effort: rankFailed("effort_raw", { failed: ({ result }) => result !== "right", largest: 0.4 }) });
 */
export function rankFailed<Task = UntypedTask>(
  name: string,
  { failed, agent, entropies = surprisals(agent), ...options }: RankFailedOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  rankingReward([[0]], options);
  const term = groupReward<Task>(name, (group) => {
    const rows = group.map((episode) => (failed(episode) ? entropies(episode) : []));
    const ranked = rankingReward(
      rows.filter(({ length }) => length > 0),
      options,
    );
    let next = 0;
    return rows.map(({ length }) => (length > 0 ? ranked[next++]! : 0));
  });
  return agent === undefined ? term : { ...term, needs: { agents: [agent] } };
}

const surprisals =
  (agent: string | undefined) =>
  ({ trajectory }: FinishedEpisode): readonly number[] =>
    trajectory.calls
      .filter((call) => isOf(call, agent))
      .flatMap(({ plainLogprobs, mask }) =>
        [...plainLogprobs].filter((_, t) => mask[t] === 1).map((logprob) => -logprob),
      );

const isOf = (call: CallRecord, agent: string | undefined) =>
  call.status === "complete" && (agent === undefined || call.agent === agent);

export const rankingRewardCard: MethodCard = {
  name: "ranking-reward",
  title: "Ranking reward (R³)",
  stage: "reward",
  line: "ranks a group's failed or cut responses by their entropies, so that hard tasks still have a signal",
  use: 'import { rankFailed, rankingReward } from "troupe/rewards"',
  formula: [
    "peak_i = mean of the max(1, ⌊p L_i⌋) largest H_t, global_i = mean H_t",
    "S_i = |{j : peak_i > peak_j and global_i < global_j}|, ranked by S, largest first: r = 0 … N − 1",
    "reward = R_max (1 − r / (N − 1)), ties share the mean rank; N = 1: 0",
  ],
  defaults: {
    topShare: { value: defaults.topShare, source: "CHOSEN: not retrieved" },
    largest: { value: defaults.largest, source: "CHOSEN: not retrieved" },
    ties: { value: defaults.ties, source: "CHOSEN: the paper does not say" },
  },
  source: "R³, arXiv 2601.19620",
  notes: ["rankFailed takes −ℓ of the sampled tokens for H unless it is given entropies (CHOSEN)."],
};
