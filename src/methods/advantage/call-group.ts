/**
 * @file M-GRPO's alignment: sub-agents are called a different number of times in each episode, so their trajectories are
 * brought to the same number d an episode before they are compared,
 *
 *   fewer than d: copies, drawn evenly, are added;   more: some, drawn evenly, are left out
 *   A = (r − μ) / (σ + ε) over all K·d aligned sub-trajectories of the task
 *
 * A sub-trajectory is all that one agent says in one child workflow; in the episode's own scope all of an agent's calls
 * are one (the main agent's). An agent with one trajectory in every episode needs no alignment (d = 1 for it). A
 * trajectory that is there n times has n times its advantage, which in a clipped loss is the same as n copies; the loss's
 * normaliser counts its tokens once (CHOSEN).
 *
 * Source: M-GRPO (arXiv 2511.13288), §3.3, ddof 0; d = 8. "p99": the smallest d that 99 % of the episodes do not exceed.
 * An episode that calls no sub-agent emits nothing (CHOSEN). Draws are keyed by task and episode.
 */

import { stream } from "../../random/stream.ts";
import type { MethodCard } from "../card.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";

export interface CallGroupSettings {
  /** d, or "p99". Default 8 (paper). */
  readonly size?: number | "p99";
  /** Default 0 (paper). */
  readonly ddof?: 0 | 1;
  /** Added to σ. Default 1e-6. */
  readonly epsilon?: number;
  /** Of the draws. Default 0. */
  readonly seed?: number;
  /** All calls of one sub-trajectory are linked, for losses over whole trajectories. Default false. */
  readonly linked?: boolean;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function callGroup(given: CallGroupSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<CallGroupSettings> = {
    size: 8,
    ddof: 0,
    epsilon: 1e-6,
    seed: 0,
    linked: false,
    ...given,
  };
  const { size } = settings;
  if (size !== "p99") checkNumber("callGroup", "size", size, { integer: true, least: 1 });
  checkNumber("callGroup", "epsilon", settings.epsilon, { least: 0 });
  return Object.freeze({
    stage: "advantage",
    name: "call-group",
    compares: "episodes",
    judges: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) => groups.map((judged) => ofGroup(judged, settings)),
  } satisfies AdvantagePart);
}

/**
 * How often each of `count` trajectories of an episode is there after alignment; the numbers sum to d.
 * @param draw an even integer below its argument
 */
export function alignedCounts(count: number, d: number, draw: (below: number) => number): number[] {
  const counts = new Array<number>(count).fill(1);
  if (count === 0) return counts;
  for (let n = count; n < d; n++) counts[draw(count)]! += 1;
  const left = counts.map((_, i) => i);
  while (left.length > d) counts[left.splice(draw(left.length), 1)[0]!] = 0;
  return counts;
}

interface Unit {
  readonly value: number;
  readonly calls: readonly number[];
}

function ofGroup({ group, values }: JudgedGroup, settings: Required<CallGroupSettings>): GroupAdvantages {
  const { size, ddof, epsilon, seed, linked } = settings;
  const { episodes, task } = group;
  const advantages = values.map((row) => new Float64Array(row.length));
  const trained = values.map((row) => new Uint8Array(row.length));
  const links = values.map((row) => new Array<string | undefined>(row.length).fill(undefined));
  let hasSignal = false;
  for (const agent of new Set(episodes.flatMap(({ calls }) => calls.map((call) => call.agent)))) {
    const units = episodes.map((_, i) => unitsOf(group, values, i, agent));
    const counts = units.map((list) => list.length);
    const most = Math.max(...counts);
    const d = most <= 1 ? 1 : size === "p99" ? percentile99(counts) : size;
    const aligned = units.map((list, i) => {
      const random = stream(seed, "call group", task, agent, episodes[i]!.id ?? i);
      return alignedCounts(list.length, d, (below) => random.integer(below));
    });
    const all = units.flatMap((list, i) =>
      list.flatMap(({ value }, u) => new Array<number>(aligned[i]![u]!).fill(value)),
    );
    const { mean, deviation } = spreadOf(all, ddof);
    units.forEach((list, i) => {
      list.forEach(({ value, calls }, u) => {
        const times = aligned[i]![u]!;
        for (const j of calls) {
          trained[i]![j] = times > 0 ? 1 : 0;
          links[i]![j] = `${task}/${episodes[i]!.id ?? i}/${agent}/${u}`;
          if (deviation < leastDeviation) continue;
          advantages[i]![j] = (times * (value - mean)) / (deviation + epsilon);
          hasSignal ||= times > 0;
        }
      });
    });
  }
  return { advantages, trained, hasSignal, ...(linked ? { links } : {}) };
}

/** One agent's trajectories in one episode: its calls in each child workflow, and in the episode itself. */
function unitsOf(
  { episodes }: JudgedGroup["group"],
  values: JudgedGroup["values"],
  episode: number,
  agent: string,
): readonly Unit[] {
  const byScope = new Map<string, number[]>();
  episodes[episode]!.calls.forEach((call, j) => {
    if (call.agent !== agent) return;
    const { scope = "" } = call;
    byScope.set(scope, [...(byScope.get(scope) ?? []), j]);
  });
  return [...byScope.values()].map((calls) => ({
    calls,
    value: calls.reduce((sum, j) => sum + values[episode]![j]!, 0) / calls.length,
  }));
}

/** The smallest number that at least 99 % of the counts do not exceed. */
function percentile99(counts: readonly number[]): number {
  const sorted = [...counts].sort((a, b) => a - b);
  return Math.max(1, sorted[Math.ceil(0.99 * sorted.length) - 1]!);
}

export const callGroupCard: MethodCard = {
  name: "call-group",
  title: "Call group (M-GRPO)",
  stage: "advantage",
  line: "sub-agents' trajectories, however many an episode has, brought to one number and compared per task",
  use: 'import { callGroup } from "troupe/methods"',
  formula: [
    "each episode's sub-trajectories are brought to d by copies or drops; A = (r − μ) / σ over all K·d",
  ],
  defaults: {
    size: { value: 8, source: "paper" },
    ddof: { value: 0, source: "paper" },
    epsilon: { value: 1e-6, source: "customary" },
    seed: { value: 0, source: "CHOSEN" },
    linked: { value: false, source: "released configuration: token-level ratios" },
  },
  source: "M-GRPO (arXiv 2511.13288)",
  notes: ["CHOSEN: copies as a factor on the advantage; an episode without sub-calls emits nothing"],
};
