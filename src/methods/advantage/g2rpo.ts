/**
 * @file G²RPO's advantage: the optimal-transport map from rewards to the standard normal distribution, twice,
 *
 *   z of the r-th smallest of n = Φ⁻¹((r − ½) / n), ties share the mean of theirs; n = 1 gives 0
 *   A = z over all of its kind of task in the step, of z within the group
 *
 * so that all kinds of task give advantages of one distribution, whatever their rewards look like and whatever outliers
 * they have.
 *
 * Source: G²RPO in OpenVLThinkerV2 (arXiv 2604.08539) and its official code. Groups without spread are left out before the
 * second map, as its accuracy filter does: it would rank them against the others, so that a group that is all right had
 * advantages (`filter: false` has them). CHOSEN: one value an episode and baseline, the mean of its calls'.
 */

import type { MethodCard } from "../card.ts";
import { baselinesOf } from "../episode-baselines.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import { normalQuantile } from "../normal-quantile.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";

export interface G2rpoAdvantageSettings {
  /** Groups without spread have no advantage. Default true (the official accuracy filter). */
  readonly filter?: boolean;
}

/** Values closer than this are ties. */
const tie = 1e-9;

/** [n] the quantiles of n values by their ranks. */
export function transportedToNormal(values: readonly number[]): Float64Array {
  const size = values.length;
  const order = values.map((value, place) => ({ value, place })).sort((a, b) => a.value - b.value);
  const quantiles = new Float64Array(size);
  for (let first = 0; first < size; ) {
    let end = first;
    let sum = 0;
    for (; end < size && order[end]!.value - order[first]!.value <= tie; end++)
      sum += normalQuantile((end + 0.5) / size);
    for (let at = first; at < end; at++) quantiles[order[at]!.place] = sum / (end - first);
    first = end;
  }
  return quantiles;
}

export function g2rpoAdvantage({ filter = true }: G2rpoAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  return Object.freeze({
    stage: "advantage",
    name: "g2rpo",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings: { filter },
    advantages: (groups) => advantagesOf(groups, filter),
  } satisfies AdvantagePart);
}

/** One episode's value in one baseline of its group, and what it was mapped to. */
interface Placed {
  readonly group: number;
  readonly episode: number;
  readonly baseline: string;
  readonly z: number;
}

function advantagesOf(groups: readonly JudgedGroup[], filter: boolean): readonly GroupAdvantages[] {
  const byKind = new Map<string, Placed[]>();
  groups.forEach((judged, group) => {
    for (const [baseline, means] of baselinesOf(judged)) {
      const values = [...means.values()];
      if (filter && spreadOf(values, 0).deviation < leastDeviation) continue;
      const mapped = transportedToNormal(values);
      const kind = JSON.stringify([judged.group.dataset, baseline]);
      const placed = byKind.get(kind) ?? [];
      byKind.set(kind, placed);
      [...means.keys()].forEach((episode, i) => {
        placed.push({ group, episode, baseline, z: mapped[i]! });
      });
    }
  });
  const found = groups.map(() => new Map<string, number>());
  for (const placed of byKind.values()) {
    const mapped = transportedToNormal(placed.map(({ z }) => z));
    placed.forEach(({ group, episode, baseline }, i) => {
      found[group]!.set(`${episode} ${baseline}`, mapped[i]!);
    });
  }
  return groups.map(({ values, compared }, k) => {
    const advantages = values.map((row, i) =>
      row.map((_, j) => found[k]!.get(`${i} ${compared?.[i]?.[j] ?? ""}`) ?? 0),
    );
    return { advantages, hasSignal: advantages.some((row) => row.some((value) => value !== 0)) };
  });
}

export const g2rpoAdvantageCard: MethodCard = {
  name: "g2rpo-advantage",
  title: "G²RPO advantage",
  stage: "advantage",
  line: "rewards by their ranks, as normal quantiles: for mixtures of tasks, and rewards with outliers",
  use: 'import { g2rpoAdvantage } from "troupe/methods"',
  formula: [
    "z of the r-th smallest of n values = Φ⁻¹((r − ½) / n); ties share the mean of theirs",
    "A = z over the kind of task, of z within the group",
  ],
  defaults: { filter: { value: true, source: "official code: its accuracy filter" } },
  source: "OpenVLThinkerV2 (arXiv 2604.08539), official code",
  notes: ["CHOSEN: one value an episode and baseline, the mean of its calls'"],
};
