/**
 * @file CGPO's calibrated and regularised reward, over the calls of a batch:
 *
 *   R_cal = σ(r − r̄) of a feasible episode, 0 of an infeasible one;   r̄: what a fixed baseline answer is worth
 *   R̃ = max(1 − log(π/π_ref) / KL_max, 0) · R_cal,   log-ratio summed over the call's tokens, of the weights before the update
 *
 *   "reward"  A = R̃ − mean of the batch                                                     (CRPG)
 *   "best"    of the feasible calls of a task with log-ratio ≤ KL_max the one of the highest reward weighs R_cal,
 *             all others 0                                                                    (CRRAFT)
 *
 * R̃ exceeds R_cal where the log-ratio is negative, as printed; `clamp` bounds the factor by 1. Source: "The Perfect Blend",
 * CGPO (arXiv 2409.20370), §4.2. For teams each call is judged by itself, and compared with the calls of the same agent,
 * scope and turn in "best" (CHOSEN). KL_max is tuned by task there; the default 10 is CHOSEN.
 */

import type { MethodCard } from "../card.ts";
import { LossError, wrongSetting } from "../errors.ts";
import { feasibleByTerm } from "../feasible-by-term.ts";
import type { BatchCall, RewardedEpisode } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart } from "../parts.ts";

export interface CalibratedSettings {
  /** KL_max, nats a call. Default 10 (CHOSEN). */
  readonly klMax?: number;
  /** Default "reward". */
  readonly weigh?: "reward" | "best";
  /** Default false. */
  readonly clamp?: boolean;
  /** r̄: what a fixed answer to the task is worth. Default 0: a reward that has a term with −r̄ is calibrated already. */
  readonly baseline?: (episode: RewardedEpisode) => number;
  /** Which episodes keep all constraints. Default: those whose reward term "infeasible" is absent or 0. */
  readonly isFeasible?: (episode: RewardedEpisode) => boolean;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function calibrated(given: CalibratedSettings = {}): AdvantagePart & {
  readonly compares: "steps";
  readonly judges: "episodes";
  readonly gives: "advantages";
} {
  const { klMax = 10, weigh = "reward", clamp = false } = given;
  const { baseline = () => 0, isFeasible = feasibleByTerm } = given;
  checkNumber("calibrated", "klMax", klMax, { above: 0 });
  if (weigh !== "reward" && weigh !== "best")
    throw wrongSetting("calibrated", "weigh", weigh, '"reward" or "best"');
  return Object.freeze({
    stage: "advantage",
    name: "calibrated",
    compares: "steps",
    judges: "episodes",
    gives: "advantages",
    settings: { klMax, weigh, clamp },
    needs: { referenceInEstimate: true, ...(weigh === "reward" ? { tokensWithoutAdvantage: true } : {}) },
    advantages: (groups) =>
      groups.map(({ group, values }) => ({
        // An infeasible episode is worth 0, which no σ of a feasible one is.
        advantages: group.episodes.map((episode, i) => {
          const feasible = isFeasible(episode);
          const level = baseline(episode);
          return values[i]!.map((value) => (feasible ? 1 / (1 + Math.exp(level - value)) : 0));
        }),
        hasSignal: values.some((row) => row.length > 0),
      })),
    perToken: (batch) => {
      const ratios = batch.map(logRatio);
      const weights =
        weigh === "reward"
          ? centred(batch.map(({ credit }, i) => factor(ratios[i]!, klMax, clamp) * credit))
          : bestWithin(batch, ratios, klMax);
      return {
        advantages: batch.map(({ length }, i) => new Float32Array(length).fill(weights[i]!)),
      };
    },
  } satisfies AdvantagePart);
}

function factor(logRatio: number, klMax: number, clamp: boolean): number {
  const left = Math.max(1 - logRatio / klMax, 0);
  return clamp ? Math.min(left, 1) : left;
}

function logRatio({ oldLogprobs, referenceLogprobs, length, agent, episode }: BatchCall): number {
  if (oldLogprobs?.length !== length || referenceLogprobs?.length !== length) {
    throw new LossError({
      code: "E_LOSS_SHAPE",
      message: `A call of agent "${agent}" in episode ${episode} has ${length} tokens, but ${oldLogprobs?.length ?? "no"} old and ${referenceLogprobs?.length ?? "no"} reference log-probs.`,
      hint: "this is a fault of Troupe; please report it.",
    });
  }
  return oldLogprobs.reduce((sum, l, t) => sum + l - referenceLogprobs[t]!, 0);
}

function centred(values: readonly number[]): readonly number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function bestWithin(
  batch: readonly BatchCall[],
  ratios: readonly number[],
  klMax: number,
): readonly number[] {
  const best = new Map<string, number>();
  batch.forEach(({ task = "", scope, agent, occurrence, credit }, i) => {
    if (credit === 0 || ratios[i]! > klMax) return;
    const key = JSON.stringify([task, scope, agent, occurrence]);
    const known = best.get(key);
    if (known === undefined || isBetter(batch[i]!, batch[known]!)) best.set(key, i);
  });
  const chosen = new Set(best.values());
  return batch.map(({ credit }, i) => (chosen.has(i) ? credit : 0));
}

/** σ is 1 in float64 from a margin of 37 on: rewards that it cannot tell apart are told by their terms. */
function isBetter(one: BatchCall, other: BatchCall): boolean {
  if (one.credit !== other.credit) return one.credit > other.credit;
  const rewardOf = ({ terms = {} }: BatchCall) => Object.values(terms).reduce((sum, value) => sum + value, 0);
  return rewardOf(one) > rewardOf(other);
}

export const calibratedCard: MethodCard = {
  name: "calibrated",
  title: "Calibrated reward (CGPO)",
  stage: "advantage",
  line: "rewards above a fixed answer's, of feasible episodes, faded out as the policy leaves its start",
  use: 'import { calibrated } from "troupe/methods"',
  formula: [
    "R_cal = σ(r − r̄) of a feasible episode, else 0;   R̃ = max(1 − log(π/π_ref)/KL_max, 0) · R_cal",
    '"reward": A = R̃ − batch mean;   "best": R_cal on the best within KL_max, 0 elsewhere',
  ],
  defaults: {
    klMax: { value: 10, source: "CHOSEN: tuned by task in the paper" },
    weigh: { value: "reward", source: "CRPG" },
    clamp: { value: false, source: "paper, as printed" },
  },
  source: "CGPO (arXiv 2409.20370)",
  notes: ["CHOSEN: each call of a team is judged by itself"],
};
