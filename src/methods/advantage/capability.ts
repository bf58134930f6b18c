/**
 * @file Joint advantages of several policies that each sampled the same task, and learn from each other's calls,
 *
 *   P̂_k = mean over the last K steps (this one included) of policy k's mean reward;   ω(k,j) = P̂_k / P̂_j in [.1, 10]
 *   μ̂_k = 1/n Σ_j Σ_i ω(k,j) r_ij over all n responses;   A_k(y) = (r(y) − μ̂_k) / (σ + ε),  σ of all n, unweighted
 *   own calls: A_k;   calls of policy j given to k: ω(j,k) · A_k      ("learner"; "source": ω(j,k) · A_j)
 *
 * The direction turns round: a stronger source is scaled down in the weaker learner's baseline, and up in what it teaches.
 *
 * Source: HACPO (arXiv 2603.02604), eqs. 6–10, appendix E; official codes. The paper is ambiguous: eq. 10 prints ω(j,k) A_j,
 * eq. 50 and both codes take A_k, the default here. K, floor, range, σ with ddof 1 and both guards are the codes'. CHOSEN: a
 * response is an episode's mean over a policy's calls that share a baseline; capabilities are apart by baseline, so policies
 * are compared in the same role; equal rewards count as such below a deviation of 1e-6. RECONSTRUCTED: `counts: "positive"`
 * as mean of max(r, 0).
 */

import { type CapabilityAdvantageSettings, checkedCapability } from "../capability-settings.ts";
import {
  type CapabilityWindows,
  capabilityMetrics,
  movedWindows,
  readWindows,
  windowsState,
} from "../capability-windows.ts";
import type { MethodCard } from "../card.ts";
import { broadcast } from "../credit/broadcast.ts";
import { MethodSettingsError } from "../errors.ts";
import { jointAdvantages, ratioOf } from "../joint-advantage.ts";
import type { RewardedGroup } from "../method.ts";
import type { AdvantagePart, JudgedGroup } from "../parts.ts";
import { rewardsOf } from "../responses.ts";

export type { CapabilityAdvantageSettings } from "../capability-settings.ts";

/**
 * Learns the windows in `observe`; they are in checkpoints.
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function capabilityAdvantage(given: CapabilityAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  const settings = checkedCapability({
    ...{ window: 5, floor: 1e-8, leastRatio: 0.1, mostRatio: 10, warmUp: 0, counts: "all", ddof: 1 },
    ...{ epsilon: 1e-6, equalRewards: "zero", aboveOne: "own", crossAdvantageBaseline: "learner" },
    ...{ weightBaseline: true, weightForeign: true },
    ...given,
  } as Required<CapabilityAdvantageSettings>);
  let known: CapabilityWindows = new Map();
  let steps = 0;
  // What groups were judged by: `observe` learns from the same values, and hears of the groups alone.
  const judgedBy = new WeakMap<RewardedGroup, JudgedGroup>();
  const moved = (groups: readonly JudgedGroup[]) =>
    movedWindows(known, rewardsOf(groups, settings.counts), settings.window);
  return Object.freeze({
    stage: "advantage",
    name: "capability",
    compares: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) => {
      for (const judged of groups) judgedBy.set(judged.group, judged);
      const windows = moved(groups);
      const ratio = (baseline: string, over: string, under: string) =>
        over === under || steps < settings.warmUp ? 1 : ratioOf(windows, baseline, over, under, settings);
      return groups.map((judged) => jointAdvantages(judged, ratio, settings));
    },
    observe: ({ groups }) => {
      known = moved(groups.map((group) => judgedBy.get(group) ?? { group, ...broadcast().assign(group) }));
      steps++;
    },
    metrics: () => capabilityMetrics(known),
    state: () => ({ steps, windows: windowsState(known) }),
    restore: (state) => {
      const { steps: done, windows } = (state ?? {}) as {
        readonly steps?: unknown;
        readonly windows?: unknown;
      };
      known = readWindows("capabilityAdvantage", windows);
      if (typeof done !== "number" || !Number.isInteger(done) || done < 0) {
        throw new MethodSettingsError({
          code: "E_METHOD_STATE",
          message: "The checkpoint does not say how many steps capabilityAdvantage has seen.",
          hint: "it is of a run with another method, or damaged; begin anew with --fresh.",
        });
      }
      steps = done;
    },
  } satisfies AdvantagePart);
}

export const capabilityAdvantageCard: MethodCard = {
  name: "capability-advantage",
  title: "Capability-aware joint advantage (HACPO)",
  stage: "advantage",
  line: "policies that sampled the same task share a baseline, weighed by how good each is, and learn from each other",
  use: 'import { capabilityAdvantage } from "troupe/methods"',
  formula: [
    "P̂_k = mean of policy k's mean rewards in the last K steps;   ω(k,j) = P̂_k / P̂_j in [leastRatio, mostRatio]",
    "μ̂_k = 1/n Σ ω(k,j) r;   A_k = (r − μ̂_k) / (σ + ε)",
    "a call of policy j that k learns from: ω(j,k) A_k",
  ],
  defaults: {
    window: { value: 5, source: "paper, eq. 9" },
    floor: { value: 1e-8, source: "official code" },
    leastRatio: { value: 0.1, source: "official code" },
    mostRatio: { value: 10, source: "official code" },
    warmUp: { value: 0, source: "paper has none; optional in the official code" },
    counts: { value: "all", source: "paper; the official code: positive" },
    ddof: { value: 1, source: "official code" },
    epsilon: { value: 1e-6, source: "paper" },
    equalRewards: { value: "zero", source: "official code" },
    aboveOne: { value: "own", source: "official code" },
    crossAdvantageBaseline: { value: "learner", source: "paper, eq. 50, and official codes; eq. 10: source" },
    weightBaseline: { value: true, source: "paper" },
    weightForeign: { value: true, source: "paper" },
  },
  source: "HACPO (arXiv 2603.02604), eqs. 6–10, and its official codes",
  notes: [
    "CHOSEN: a response is an episode's mean over a policy's calls of one baseline; capabilities are apart by baseline",
    'RECONSTRUCTED: counts "positive" is the mean of max(r, 0)',
  ],
};
