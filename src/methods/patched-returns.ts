/**
 * @file Episodes along a recorded one, whose wrong steps are patched: the policy acts on the recorded states; where it does
 * what was recorded, or is patched, the episode goes on.
 *
 *   G_t = r_t + γ G_{t+1} if steps t and t + 1 matched the record, else r_t
 *
 * so that nothing is credited across a patch, and no step for what a wrong one after it still got.
 *
 * Source: UI-S1, semi-online RL (arXiv 2509.11543) and its official code.
 */

import { LossError } from "./errors.ts";
import type { RewardedCall, RewardedEpisode } from "./method.ts";

/**
 * [steps] returns.
 * @param rewards [steps] @param matched [steps]
 * @throws LossError E_CREDIT_SHAPE if they are not of one length.
 */
export function semiOnlineReturns(
  rewards: ArrayLike<number>,
  matched: readonly boolean[],
  gamma: number,
): Float64Array {
  if (rewards.length !== matched.length) {
    throw new LossError({
      code: "E_CREDIT_SHAPE",
      message: `An episode has ${rewards.length} step rewards, and ${matched.length} steps that matched or did not.`,
      hint: "give one of each a step.",
    });
  }
  const returns = new Float64Array(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    returns[t] = rewards[t]! + (matched[t]! ? gamma * following : 0);
    following = matched[t]! ? returns[t]! : 0;
  }
  return returns;
}

/**
 * What a workflow does after a step: "advance" with what the policy did, "patch" the recorded action into the history and
 * advance, or "stop".
 * @param patches used so far @param most ε, default 2 (UI-S1); −1: as many as are needed
 */
export function afterStep(matched: boolean, patches: number, most = 2): "advance" | "patch" | "stop" {
  if (matched) return "advance";
  return most < 0 || patches < most ? "patch" : "stop";
}

/** What a call alone was rewarded with. */
export const ownReward = ({ reward, own = reward }: RewardedCall) => own;
/** A step is worth 1 only if it is exactly the recorded one; a little less is rounding. */
export const isExact = (call: RewardedCall) => ownReward(call) >= 1 - 1e-9;

/** [calls] returns, over the calls in the order of issue. */
export function episodeReturns(
  { calls }: RewardedEpisode,
  rewards: Float64Array,
  gamma: number,
  matched: (call: RewardedCall) => boolean,
): Float64Array {
  const order = calls.map(({ id }, place) => ({ at: id ?? place, place })).sort((a, b) => a.at - b.at);
  const found = semiOnlineReturns(
    order.map(({ place }) => rewards[place]!),
    order.map(({ place }) => matched(calls[place]!)),
    gamma,
  );
  const returns = new Float64Array(calls.length);
  order.forEach(({ place }, t) => {
    returns[place] = found[t]!;
  });
  return returns;
}

/** G_0 of an episode: what its task is kept by, where their spread over the group is large enough. */
export function firstReturn(
  episode: RewardedEpisode,
  {
    gamma = 0.5,
    matched = isExact,
  }: { readonly gamma?: number; readonly matched?: (call: RewardedCall) => boolean } = {},
): number {
  const { calls } = episode;
  if (calls.length === 0) return episode.reward;
  const returns = episodeReturns(episode, Float64Array.from(calls, ownReward), gamma, matched);
  const first = calls.reduce(
    (best, { id }, place) => ((id ?? place) < (calls[best]!.id ?? best) ? place : best),
    0,
  );
  return returns[first]!;
}
