/**
 * @file Advantage over the nodes of a tree, as in MARS²: the group is **all** nodes of one tree, of whichever policy and
 * depth; each policy trains on its own nodes, normalised by the whole tree, which is what makes policies comparable.
 * Some notes call this a "path-level group"; no sum over root-to-leaf paths was found (UNVERIFIED).
 */

import { leastSpread, type Standardisation } from "./standardise.ts";

export interface TreeAdvantage extends Partial<Standardisation> {
  /** Advantages are cut to ±clip. Default 10 (public code). */
  readonly clip?: number;
}

/**
 * Â_v = (r̂_v − mean) / (std + ε), std with n − 1. Every token of the node's own calls gets it.
 *
 * @param rewards [n] of one tree, shaped or not. Default ε 1e-9 (public code); a tree of equal rewards, or of one node,
 * gives zeros.
 * @returns [n]
 */
export function treeAdvantages(rewards: readonly number[], settings: TreeAdvantage = {}): number[] {
  return rewards.map(treeScale(rewards, settings));
}

/** The same as a function of any reward beside those of the tree's nodes: of a call that was rewarded by itself. */
export function treeScale(
  rewards: readonly number[],
  { ddof = 1, epsilon = 1e-9, single = "zero", clip = 10 }: TreeAdvantage = {},
): (reward: number) => number {
  const cut = (value: number) => Math.max(-clip, Math.min(clip, value));
  if (rewards.length === 1 && single === "raw") return cut;
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const squares = rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0);
  const deviation = rewards.length === 1 ? 0 : Math.sqrt(squares / (rewards.length - ddof));
  if (!(deviation >= leastSpread)) return () => 0;
  return (reward) => cut((reward - mean) / (deviation + epsilon));
}
