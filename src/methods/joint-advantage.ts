/**
 * @file The arithmetic of the joint baseline of several policies that sampled one task: A_k = (r − μ̂_k) / (σ + ε), and what
 * each is given of the others' calls. What ω is, is the caller's matter. Source: HACPO (arXiv 2603.02604), eqs. 6–10.
 */

import type { CapabilityAdvantageSettings } from "./capability-settings.ts";
import { type CapabilityWindows, capabilityOf } from "./capability-windows.ts";
import { LossError } from "./errors.ts";
import { foreignCalls } from "./foreign-calls.ts";
import { leastDeviation, spreadOf } from "./group-advantage.ts";
import type { GivenText } from "./method.ts";
import type { GroupAdvantages, JudgedGroup } from "./parts.ts";
import { type Response, responsesOf } from "./responses.ts";

type Settings = Required<CapabilityAdvantageSettings>;

/** ω(over, under). A policy of which nothing is known is at the floor. */
export function ratioOf(
  windows: CapabilityWindows,
  baseline: string,
  over: string,
  under: string,
  { floor, leastRatio, mostRatio }: Settings,
): number {
  const [top, bottom] = [over, under].map((policy) =>
    Math.max(capabilityOf(windows, baseline, policy) ?? 0, floor),
  ) as [number, number];
  return Math.min(Math.max(top / bottom, leastRatio), mostRatio);
}

/** ω(over, under) in a baseline. */
type Ratio = (baseline: string, over: string, under: string) => number;

/** @param ratio ω of this step. @throws LossError E_SOURCE_LOGPROB */
export function jointAdvantages(judged: JudgedGroup, ratio: Ratio, settings: Settings): GroupAdvantages {
  const { group, values } = judged;
  const baselines = new Map(
    [...responsesOf(judged)].map(([key, responses]) => [key, baselineOf(key, responses, ratio, settings)]),
  );
  const keyOf = (i: number, j: number) => judged.compared?.[i]?.[j] ?? "";
  const judge = (policy: string, i: number, j: number) => baselines.get(keyOf(i, j))!(policy, values[i]![j]!);
  const advantages = values.map((row, i) =>
    row.map((_, j) => judge(group.episodes[i]!.calls[j]!.policy ?? "", i, j)),
  );
  const given = foreignCalls(judged).map(({ episode, call, source, learner }): GivenText => {
    const judging = settings.crossAdvantageBaseline === "learner" ? learner : source;
    const weight = settings.weightForeign ? ratio(keyOf(episode, call), source, learner) : 1;
    const { agent, meanLogprob } = group.episodes[episode]!.calls[call]!;
    if (meanLogprob === undefined) {
      throw new LossError({
        code: "E_SOURCE_LOGPROB",
        message: `Policy "${learner}" is to learn from a call of agent "${agent}" by policy "${source}", of which no log-probs are known.`,
        hint: "a policy that speaks text only has none; leave its team out, or take sharedRollouts(), which asks for none.",
        facts: { learner, source, agent, episode: group.episodes[episode]!.id ?? String(episode) },
      });
    }
    return {
      ...{ episode, call, policy: learner },
      advantage: weight * judge(judging, episode, call),
      oldLogprob: meanLogprob,
    };
  });
  const hasSignal =
    advantages.some((row) => row.some((value) => value !== 0)) ||
    given.some(({ advantage }) => advantage !== 0);
  return { advantages, hasSignal, ...(given.length === 0 ? {} : { given }) };
}

/** A(policy, reward) among these responses. */
function baselineOf(
  key: string,
  responses: readonly Response[],
  ratio: Ratio,
  { ddof, epsilon, equalRewards, aboveOne, weightBaseline }: Settings,
): (policy: string, reward: number) => number {
  const { deviation } = spreadOf(
    responses.map(({ reward }) => reward),
    ddof,
  );
  const means = new Map<string, number>();
  const meanFor = (policy: string) => {
    const weighted = responses.map((one) =>
      weightBaseline ? ratio(key, policy, one.policy) * one.reward : one.reward,
    );
    const { mean } = spreadOf(weighted, ddof);
    const own = responses.filter((one) => one.policy === policy).map(({ reward }) => reward);
    return mean > 1 && aboveOne === "own" && own.length > 0 ? spreadOf(own, ddof).mean : mean;
  };
  return (policy, reward) => {
    if (deviation < leastDeviation && equalRewards === "zero") return 0;
    if (!means.has(policy)) means.set(policy, meanFor(policy));
    const difference = reward - means.get(policy)!;
    return difference === 0 ? 0 : difference / (deviation + epsilon);
  };
}
