/**
 * @file Episodes as the arms of a bandit: their features, which of them are taken, and what that was worth.
 *
 *   R(C̄_t) = V_{t+1} − V_t − w_e · 1[E_t > e_min] · (E_{t+1} − E_t);  V, E: mean reward and entropy of fresh episodes
 *   loss over K arms: Σ_a (f_a − R)² / K, or of their mean: (mean_a f_a − R)²
 *
 * Source: see `rollout-bandits.ts`.
 */

import type { Stream } from "../../random/stream.ts";

/** An episode that could be trained on. Plain numbers: tokens stay with whoever sampled them. */
export interface Arm {
  /** Of the episode; no two are the same. */
  readonly id: string;
  /** Of its group. */
  readonly group: string;
  readonly reward: number;
  /** In its whole group. */
  readonly advantage: number;
  /** Sampled tokens ÷ the most that were allowed. */
  readonly lengthShare: number;
  readonly truncated: boolean;
  /** Mean over its tokens, in nats. 0 where it is unknown of all arms. */
  readonly entropy: number;
  /** Share of its tokens with |ρ − 1| > 0.2 under the weights now. Default 0: it is fresh. */
  readonly clipShare?: number;
}

export interface StoredArm extends Arm {
  /** Rounds since it was sampled, from 0. */
  readonly age: number;
  /** How often it was trained on. */
  readonly uses: number;
}

export const featureNames = [
  "reward",
  "advantage",
  "|advantage|",
  "group reward",
  "length",
  "truncated",
  "entropy",
  "clipped",
  "age",
  "uses",
] as const;

/**
 * [arms][10] features, each with mean 0 and variance 1 over the arms (ddof 0); a feature whose deviation is below 1e-9
 * says nothing and is 0. Age and uses are by `rounds`; a scale that standardising takes away again.
 */
export function armFeatures(arms: readonly StoredArm[], rounds: number): readonly Float64Array[] {
  const groups = new Map<string, { sum: number; count: number }>();
  for (const { group, reward } of arms) {
    const { sum, count } = groups.get(group) ?? { sum: 0, count: 0 };
    groups.set(group, { sum: sum + reward, count: count + 1 });
  }
  const raw = arms.map((arm) =>
    Float64Array.of(
      arm.reward,
      arm.advantage,
      Math.abs(arm.advantage),
      groups.get(arm.group)!.sum / groups.get(arm.group)!.count,
      arm.lengthShare,
      arm.truncated ? 1 : 0,
      arm.entropy,
      arm.clipShare ?? 0,
      arm.age / rounds,
      arm.uses / rounds,
    ),
  );
  for (const feature of featureNames.keys()) {
    const mean = raw.reduce((sum, row) => sum + row[feature]!, 0) / raw.length;
    const variance = raw.reduce((sum, row) => sum + (row[feature]! - mean) ** 2, 0) / raw.length;
    const deviation = Math.sqrt(variance);
    for (const row of raw) row[feature] = deviation < 1e-9 ? 0 : (row[feature]! - mean) / deviation;
  }
  return raw;
}

/** Places of the `count` highest scores, best first; equal scores: the younger, then the earlier. */
export function bestArms(scores: ArrayLike<number>, count: number, ages?: ArrayLike<number>): number[] {
  return Array.from({ length: scores.length }, (_, i) => i)
    .sort((a, b) => scores[b]! - scores[a]! || (ages ? ages[a]! - ages[b]! : 0) || a - b)
    .slice(0, count);
}

/**
 * ε-greedy: some ε·count places are drawn evenly (the fraction decided by chance, so that the mean is exact), the others
 * are the best of the rest. In the order of the arms.
 */
export function chooseArms(
  scores: ArrayLike<number>,
  count: number,
  {
    exploration,
    ages,
    random,
  }: { readonly exploration: number; readonly ages: ArrayLike<number>; readonly random: Stream },
): number[] {
  const taken = Math.min(count, scores.length);
  const explored = Math.min(taken, Math.floor(exploration * taken + random.uniform()));
  const chosen = new Set(
    random.shuffled(Array.from({ length: scores.length }, (_, i) => i)).slice(0, explored),
  );
  for (const place of bestArms(scores, scores.length, ages)) {
    if (chosen.size === taken) break;
    chosen.add(place);
  }
  return [...chosen].sort((a, b) => a - b);
}

/** V and E of a round's fresh episodes. */
export interface RoundMeans {
  readonly reward: number;
  readonly entropy: number;
}

/** What all arms of a round are worth together. */
export function banditReward(
  before: RoundMeans,
  after: RoundMeans,
  { entropyWeight, entropyFloor }: { readonly entropyWeight: number; readonly entropyFloor: number },
): number {
  const high = before.entropy > entropyFloor;
  return after.reward - before.reward - (high ? entropyWeight * (after.entropy - before.entropy) : 0);
}

/** The loss of scores f against a reward, and [arms] ∂L/∂f. */
export function armsLoss(
  scores: ArrayLike<number>,
  reward: number,
  fit: "each arm" | "their mean",
): { readonly loss: number; readonly gradients: Float64Array } {
  const all = Float64Array.from(scores);
  if (fit === "their mean") {
    const miss = all.reduce((sum, score) => sum + score, 0) / all.length - reward;
    return { loss: miss * miss, gradients: all.fill((2 * miss) / scores.length) };
  }
  const misses = all.map((score) => score - reward);
  return {
    loss: misses.reduce((sum, miss) => sum + miss * miss, 0) / all.length,
    gradients: misses.map((miss) => (2 * miss) / all.length),
  };
}
