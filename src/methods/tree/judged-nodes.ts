/**
 * @file What a credit over search trees tells an advantage besides the worth of calls: the worth of each node. A node whose
 * calls are all of a policy that is not trained, or that made no call at all, is compared with like any other.
 */

import type { JudgedGroup } from "../parts.ts";

export interface JudgedNodes extends JudgedGroup {
  /** [G] */
  readonly nodes?: Float64Array;
}

/** [G] worth of each node; without any, the mean of the calls that are trained there, or the episode's reward. */
export function nodeWorths(judged: JudgedNodes): readonly number[] {
  const { group, values, trained, nodes } = judged;
  return group.episodes.map(({ reward }, i) => {
    if (nodes !== undefined) return nodes[i]!;
    const own = [...values[i]!].filter((_, j) => trained?.[i]?.[j] !== 0);
    return own.length === 0 ? reward : own.reduce((sum, value) => sum + value, 0) / own.length;
  });
}
