/**
 * @file Generalised advantage estimation over sampled tokens: δ_t = r_t + γ V_{t+1} − V_t, A_t = δ_t + γλ A_{t+1},
 * return_t = A_t + V_t. A call's reward is on its last token.
 *
 * Within a call (UnityMAS-O, arXiv 2605.26646): every call is an episode of its own, V after its last token is 0.
 * Across an agent's calls of one episode: after the last token of call k comes the first token of the agent's next call
 * in the same scope, with a γ and a λ of their own, so that what a call makes possible later is credited to it. A policy
 * that several agents share keeps their calls apart.
 *
 * Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation" (1506.02438).
 */

import type { BatchCall, BatchEstimates, RewardedCall } from "./method.ts";

export interface GaeSettings {
  readonly gamma: number;
  readonly lambda: number;
  /** From a call to the agent's next one; "none": every call is an episode of its own. */
  readonly turns: "none" | { readonly gamma: number; readonly lambda: number };
}

/**
 * One call. `reward`: on its last token, or [length] one for each. `next`: value and advantage of what follows its last
 * token, each times its own discount.
 * @returns [length] advantages and returns.
 */
export function gae(
  reward: number | ArrayLike<number>,
  values: ArrayLike<number>,
  { gamma, lambda }: Pick<GaeSettings, "gamma" | "lambda">,
  next: { readonly value: number; readonly advantage: number } = { value: 0, advantage: 0 },
): { readonly advantages: Float32Array; readonly returns: Float32Array } {
  const { length } = values;
  const advantages = new Float32Array(length);
  const returns = new Float32Array(length);
  let following = 0;
  for (let t = length - 1; t >= 0; t--) {
    const last = t === length - 1;
    const own = typeof reward === "number" ? (last ? reward : 0) : reward[t]!;
    const delta = own + (last ? next.value : gamma * values[t + 1]!) - values[t]!;
    following = delta + (last ? next.advantage : gamma * lambda * following);
    advantages[t] = following;
    returns[t] = following + values[t]!;
  }
  return { advantages, returns };
}

/**
 * Estimates for a policy's whole batch; `credit` of each call is its reward.
 * `penalties`: [calls][length] taken off the reward of each token.
 */
export function batchGae(
  batch: readonly BatchCall[],
  settings: GaeSettings,
  penalties?: readonly Float32Array[],
): Required<BatchEstimates> {
  const advantages = new Array<Float32Array>(batch.length);
  const returns = new Array<Float32Array>(batch.length);
  for (const chain of chains(batch, settings.turns !== "none")) {
    let next = { value: 0, advantage: 0 };
    for (const index of chain.reverse()) {
      const { credit, values, length } = batch[index]!;
      const known = values ?? new Float32Array(length);
      const penalty = penalties?.[index];
      const reward =
        penalty === undefined
          ? credit
          : Float64Array.from(penalty, (cost, t) => (t === length - 1 ? credit : 0) - cost);
      const estimate = gae(reward, known, settings, next);
      advantages[index] = estimate.advantages;
      returns[index] = estimate.returns;
      if (settings.turns === "none") continue;
      const { gamma, lambda } = settings.turns;
      next = {
        value: gamma * (known[0] ?? 0),
        advantage: gamma * lambda * (estimate.advantages[0] ?? 0),
      };
    }
  }
  return { advantages, returns };
}

/** Indices of the calls that follow each other; each call alone where calls are not linked. */
function chains(batch: readonly BatchCall[], linked: boolean): number[][] {
  if (!linked) return batch.map((_, index) => [index]);
  const byAgent = new Map<string, number[]>();
  for (const [index, { episode, scope, agent }] of batch.entries()) {
    const name = JSON.stringify([episode, scope, agent]);
    const chain = byAgent.get(name);
    if (chain === undefined) byAgent.set(name, [index]);
    else chain.push(index);
  }
  return [...byAgent.values()].map((chain) =>
    chain.sort((left, right) => batch[left]!.order - batch[right]!.order),
  );
}

/**
 * [calls] what each call of one episode is rewarded with where an agent's calls are linked. A term that counts for several
 * calls of an agent is on its last one: on each of them it would be counted once for every call that follows. The reward
 * of a call without tokens goes to the one before it.
 */
export function linkedRewards(calls: readonly RewardedCall[]): Float64Array {
  const rewards = new Float64Array(calls.length);
  const carried = new Map<string, number>();
  for (let i = calls.length - 1; i >= 0; i--) {
    const { agent, scope = "", reward, own = reward, length = 1 } = calls[i]!;
    const name = JSON.stringify([scope, agent]);
    const following = carried.get(name);
    const sum = following === undefined ? reward : own + following;
    carried.set(name, length === 0 ? sum : 0);
    rewards[i] = length === 0 ? 0 : sum;
  }
  return rewards;
}
