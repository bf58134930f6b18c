/** @file What the episodes of a group are compared by: one value per episode and baseline, and each call against their mean. */

import { leastDeviation, spreadOf } from "./group-advantage.ts";
import type { GroupAdvantages, JudgedGroup } from "./parts.ts";

/** Of each baseline: episode → the mean of its values that share it. An episode without calls has its reward in "". */
export function baselinesOf({ group, values, compared }: JudgedGroup): Map<string, Map<number, number>> {
  const sums = new Map<string, Map<number, { sum: number; count: number }>>();
  values.forEach((row, i) => {
    row.forEach((value, j) => {
      const key = compared?.[i]?.[j] ?? "";
      const episodes = sums.get(key) ?? new Map<number, { sum: number; count: number }>();
      sums.set(key, episodes);
      const known = episodes.get(i) ?? { sum: 0, count: 0 };
      episodes.set(i, { sum: known.sum + value, count: known.count + 1 });
    });
    if (row.length === 0 && compared === undefined) {
      const episodes = sums.get("") ?? new Map<number, { sum: number; count: number }>();
      sums.set("", episodes.set(i, { sum: group.episodes[i]!.reward, count: 1 }));
    }
  });
  return new Map(
    [...sums].map(([key, episodes]) => [
      key,
      new Map([...episodes].map(([i, { sum, count }]) => [i, sum / count])),
    ]),
  );
}

/**
 * Advantages (value − mean) · scale, mean and standard deviation over one value per episode and baseline; a baseline
 * without spread gives zeros.
 * @param scaleOf from the deviation to the scale
 */
export function againstGroup(
  judged: JudgedGroup,
  ddof: 0 | 1,
  scaleOf: (deviation: number) => number,
): GroupAdvantages {
  const spreads = new Map(
    [...baselinesOf(judged)].map(([key, means]) => [key, spreadOf([...means.values()], ddof)] as const),
  );
  let hasSignal = false;
  const advantages = judged.values.map((row, i) =>
    row.map((value, j) => {
      const { mean, deviation } = spreads.get(judged.compared?.[i]?.[j] ?? "")!;
      if (deviation < leastDeviation) return 0;
      hasSignal = true;
      return (value - mean) * scaleOf(deviation);
    }),
  );
  return { advantages, hasSignal };
}
