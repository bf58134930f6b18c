/**
 * @file What a credit over search trees tells an advantage besides the worth of calls: the worth of each node. A node whose
 * calls are all of a policy that is not trained, or that made no call at all, is compared with like any other.
 */

import type { JudgedGroup } from "../parts.ts";

export interface JudgedNodes extends JudgedGroup {
  /** [G] */
  readonly nodes?: Float64Array;
}

/** [G] worth of each node; where the credit says none, the mean of its calls, or without any the episode's reward. */
export function nodeWorths({ group, values, nodes }: JudgedNodes): readonly number[] {
  return group.episodes.map(({ reward }, i) => {
    const row = values[i]!;
    return (
      nodes?.[i] ?? (row.length === 0 ? reward : row.reduce((sum, value) => sum + value, 0) / row.length)
    );
  });
}
