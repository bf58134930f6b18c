/**
 * @file What a call of an episode leads to: G_k = Σ_{j ≥ k} γ^{j − k} r_j over the calls in the order of issue, and the sum
 * R. A call's r is what it alone is rewarded with, and what a credit assigner adds; what the whole episode is rewarded
 * with comes with the last call.
 */

import type { RewardedEpisode } from "./method.ts";

/** [calls] G_k, and R, of one episode: both with what the call's agent shares with the rest of it. */
export function stepReturns(
  { calls }: RewardedEpisode,
  values: Float64Array,
  gamma: number,
): { readonly returns: Float64Array; readonly total: Float64Array } {
  const order = calls.map(({ id }, place) => ({ at: id ?? place, place })).sort((a, b) => a.at - b.at);
  const own = calls.map(({ reward, own: alone = reward }, j) => alone + values[j]! - reward);
  const shared = calls.map(({ reward, own: alone = reward }) => reward - alone);
  const sum = own.reduce((all, value) => all + value, 0);
  const returns = new Float64Array(calls.length);
  let following = 0;
  let discount = 1;
  for (const { place } of order.toReversed()) {
    following = own[place]! + gamma * following;
    returns[place] = following + discount * shared[place]!;
    discount *= gamma;
  }
  return { returns, total: Float64Array.from(shared, (value) => value + sum) };
}
