/**
 * @file A cap on turns that comes down as the policy needs fewer: every τ steps L_max ← ⌊(L̄ + L'_max) / 2⌋, mean and maximum of
 * the turns used since. What could be wandered away early on must be thought out later.
 * Source: WMAct (arXiv 2511.23476). Read through detailed notes. CHOSEN: rounded down, at least 1, never up.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { objectOf, wrongState } from "./combine.ts";
import { isFailed, rewardFailure } from "./failures.ts";
import type { Json, RewardFunction, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { perEpisode, reward } from "./terms.ts";

const defaults = { initial: 30, every: 100 } as const;

/**
 * The next cap: ⌊(mean + most) / 2⌋, at least 1 and at most the cap.
 * @param mean of the turns that episodes used since the last one
 * @throws RewardDefinitionError if a number is not finite, or below 0
 */
export function annealedCap(cap: number, mean: number, most: number): number {
  checkFinite("A turn cap", "a count of turns", [cap, mean, most]);
  if (!(mean >= 0 && most >= mean))
    throw wrongRewardSetting("A turn cap", "mean turns", mean, `from 0 to the ${most} of the longest`);
  return Math.max(1, Math.min(cap, Math.floor((mean + most) / 2)));
}

interface CapState {
  readonly cap: number;
  /** Since the cap was last set: steps, episodes, their turns in all, and the most of one. */
  readonly steps: number;
  readonly episodes: number;
  readonly turns: number;
  readonly most: number;
}

export interface TurnCap<Task> {
  /** L_max for the workflow to keep to; it changes between steps only. */
  readonly current: () => number;
  /** To be in the run's `rewards`: counts nothing, logs `<name>.turns` and `<name>.cap`, and learns from each step. */
  readonly term: RewardTerm<Task>;
}

/**
 * The cap as training goes on. Its state is in checkpoints with the run's rewards. Evaluations read it and do not move it.
 * @throws RewardDefinitionError
 *
 * @example
 * const cap = turnCap("cap", { turns: callCount("player") });
 * const rewards = sum({ solved, cap: cap.term });   // and in the workflow: for (let t = 0; t < cap.current(); t++)
 */
export function turnCap<Task = UntypedTask>(
  name: string,
  {
    turns,
    initial = defaults.initial,
    every = defaults.every,
  }: {
    readonly turns: RewardFunction<NoInfer<Task>>;
    /** Turns, an integer of at least 1. Default 30 (paper). */
    readonly initial?: number;
    /** τ, steps. Default 100 (paper: updates). */
    readonly every?: number;
  },
): TurnCap<Task> {
  for (const [setting, value] of Object.entries({ initial, every })) {
    if (!(Number.isInteger(value) && value >= 1))
      throw wrongRewardSetting(`Turn cap "${name}"`, setting, value, "an integer of at least 1");
  }
  const begun = { steps: 0, episodes: 0, turns: 0, most: 0 };
  let state: CapState = { cap: initial, ...begun };
  const counted = reward<Task>(`${name}.turns`, turns);
  const term: RewardTerm<Task> = {
    ...perEpisode<Task>(name, async (episode, context) => {
      const [one] = await counted.score([episode], context);
      if (isFailed(one!)) return one;
      if (one!.rewards.some(({ value }) => value < 0)) {
        const failure = rewardFailure(counted.name, episode.trajectory, {
          code: "E_REWARD_COUNT",
          says: "is below 0, and counts nothing.",
          hint: "count the turns of the episode in `turns`.",
        });
        return { failure };
      }
      const shown = { name: `${name}.cap`, value: state.cap, logged: true } as const;
      return { rewards: [...one!.rewards.map((record) => ({ ...record, logged: true as const })), shown] };
    }),
    learn(scored) {
      const own = scored
        .flatMap((one) => (isFailed(one) ? [] : one.rewards))
        .filter((record) => record.name === counted.name);
      let { cap, steps, episodes, turns: total, most } = state;
      steps++;
      for (const { value } of own) {
        episodes++;
        total += value;
        most = Math.max(most, value);
      }
      if (steps >= every) {
        if (episodes > 0) cap = annealedCap(cap, Math.min(total / episodes, most), most);
        state = { cap, ...begun };
      } else state = { cap, steps, episodes, turns: total, most };
    },
    state: (): Json => ({ ...state }),
    restore(saved) {
      const { cap, steps, episodes, turns: total, most } = objectOf(name, saved);
      const known = [cap, steps, episodes, total, most];
      if (!known.every((value) => Number.isFinite(value) && (value as number) >= 0) || (cap as number) < 1)
        throw wrongState(name);
      state = { cap, steps, episodes, turns: total, most } as CapState;
    },
  };
  return { current: () => state.cap, term };
}

export const turnCapCard: MethodCard = {
  name: "turn-cap",
  title: "Annealed turn cap (WMAct)",
  stage: "reward",
  line: "lowers the cap on an episode's turns as the policy uses fewer of them",
  use: 'import { turnCap } from "troupe/rewards"',
  formula: ["every τ steps: L_max ← max(1, ⌊(mean turns + most turns) / 2⌋), never up"],
  defaults: {
    initial: { value: defaults.initial, source: "paper" },
    every: { value: defaults.every, source: "paper" },
  },
  source: "WMAct, arXiv 2511.23476",
  notes: ["CHOSEN: rounded down, at least 1, never up."],
};
