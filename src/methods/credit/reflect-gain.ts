/**
 * @file Reflection gain: a reflector is worth what the answer after its reflection gains on the one before,
 *
 *   Δ = u(answer after) − u(answer before);   every other agent keeps its reward; baselines apart by agent
 *
 * A reflection after which no answer comes changed nothing and gains 0; one before any answer cannot be judged and is not
 * trained on.
 *
 * Source: MACRec (arXiv 2402.15235) and its code: u = −(y − ŷ)² for ratings, 1/rank for rankings; −16 for an answer that
 * cannot be parsed. CHOSEN: u is what the answering call is rewarded with, or a function of the caller.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { RewardedCall, RewardedEpisode } from "../method.ts";
import type { CreditAssigner } from "../parts.ts";

export interface ReflectGainSettings {
  /** The agent that reflects. */
  readonly reflector: string;
  /** The agent whose answers are compared. */
  readonly answerer: string;
  /** u. Default: the reward of the answering call. */
  readonly utility?: (answer: RewardedCall, episode: RewardedEpisode) => number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function reflectGain(given: ReflectGainSettings): CreditAssigner & { readonly wants?: never } {
  const { reflector, answerer, utility = ({ reward }) => reward } = given;
  if (reflector === answerer)
    throw wrongSetting("reflectGain", "answerer", answerer, "another agent than the reflector");
  return Object.freeze({
    stage: "credit",
    name: "reflect-gain",
    settings: { reflector, answerer },
    assign: ({ episodes }) => {
      const judged = episodes.map((episode) => gains(episode, reflector, answerer, utility));
      return {
        values: judged.map(({ values }) => values),
        trained: judged.map(({ trained }) => trained),
        compared: episodes.map(({ calls }) => calls.map(({ agent }) => agent)),
      };
    },
  } satisfies CreditAssigner);
}

function gains(
  episode: RewardedEpisode,
  reflector: string,
  answerer: string,
  utility: NonNullable<ReflectGainSettings["utility"]>,
): { readonly values: Float64Array; readonly trained: Uint8Array } {
  const { calls } = episode;
  const trained = new Uint8Array(calls.length).fill(1);
  const values = Float64Array.from(calls, (call, j) => {
    if (call.agent !== reflector) return call.reward;
    const before = calls.slice(0, j).findLast(({ agent }) => agent === answerer);
    const after = calls.slice(j + 1).find(({ agent }) => agent === answerer);
    if (before === undefined) trained[j] = 0;
    if (before === undefined || after === undefined) return 0;
    return utility(after, episode) - utility(before, episode);
  });
  return { values, trained };
}

export const reflectGainCard: MethodCard = {
  name: "reflect-gain",
  title: "Reflection gain (MACRec)",
  stage: "credit",
  line: "a reflector is worth what the answer after its reflection gains on the one before",
  use: 'import { reflectGain } from "troupe/methods"',
  formula: ["Δ = u(answer after) − u(answer before) for the reflector; everybody else keeps its reward"],
  defaults: {},
  source: "MACRec (arXiv 2402.15235)",
  notes: ["CHOSEN: u defaults to the answering call's reward"],
};
