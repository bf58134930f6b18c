/**
 * @file Rollout bandits around any method: of each group only the episodes that the bandit keeps are trained on.
 *
 * Source: see `rollout-bandits.ts`, candidates "intra-group". Advantages are the method's, over the whole group. Two things
 * are less than there, because a method sees rewards and calls only: entropy is that of the step (the policies' mean of the
 * loss's statistic), so that the feature of single episodes says nothing, and the clip share is 0, all episodes being
 * fresh. A selection is made before the step's entropy is known, so what it learned is a round older (CHOSEN).
 */

import { MethodSettingsError } from "../errors.ts";
import type { GroupCredit, Method, RewardedGroup, StepFacts } from "../method.ts";
import type { StoredArm } from "./arms.ts";
import type { RolloutBanditSettings } from "./bandit-settings.ts";
import { wrongState } from "./json-state.ts";
import { rolloutBandits } from "./rollout-bandits.ts";

export type BanditMethodSettings = Omit<RolloutBanditSettings, "candidates" | "count" | "rounds">;

/**
 * @throws MethodSettingsError; in the step, E_METHOD_COMBINATION if the method compares calls pairwise.
 * @example
 * train({ …, method: withRolloutBandits(grpo({ groupSize: 16 }), { keep: 0.5 }) });
 */
export function withRolloutBandits(method: Method, settings: BanditMethodSettings = {}): Method {
  const bandits = rolloutBandits({ ...settings, candidates: "intra-group" });
  const creditsOf = (groups: readonly RewardedGroup[]): readonly GroupCredit[] =>
    method.creditAll?.(groups) ?? groups.map(({ episodes }) => method.credit(episodes));

  const creditAll = (groups: readonly RewardedGroup[]): readonly GroupCredit[] => {
    const credits = creditsOf(groups);
    if (credits.some(({ links }) => links?.some((row) => row.some((link) => link !== undefined)))) {
      throw new MethodSettingsError({
        code: "E_METHOD_COMBINATION",
        message: `Method "${method.name}" compares calls pairwise; rollout bandits would take pairs apart.`,
        hint: "use them around a method that compares episodes of a group.",
        facts: { method: method.name },
      });
    }
    const arms = armsOf(groups, credits);
    const kept = new Set(bandits.choose(arms).arms.map(({ id }) => id));
    return credits.map((credit, k): GroupCredit => {
      const trained = credit.advantages.map((row, i) => {
        const left = !kept.has(idOf(k, i));
        return Uint8Array.from(row, (_, j) => (left ? 0 : (credit.trained?.[i]?.[j] ?? 1)));
      });
      const signal = credit.advantages.some((row, i) =>
        row.some((advantage, j) => advantage !== 0 && trained[i]![j] === 1),
      );
      return { ...credit, trained, hasSignal: credit.hasSignal && signal };
    });
  };

  const learn = ({ groups, statistics }: StepFacts) => {
    const arms = armsOf(groups, creditsOf(groups));
    // A step without episodes has no mean reward: the last selection waits for the next one.
    if (arms.length === 0) return;
    const entropies = Object.values(statistics).flatMap(({ entropy }) =>
      entropy === undefined ? [] : [entropy],
    );
    const entropy = entropies.reduce((sum, one) => sum + one, 0) / Math.max(1, entropies.length);
    const selection = bandits.choose(arms);
    bandits.arrive(arms.map((arm) => ({ ...arm, entropy })));
    bandits.commit(selection);
  };

  return Object.freeze({
    ...method,
    name: `${method.name}+rollout-bandits`,
    settings: Object.freeze({ ...method.settings, rolloutBandits: bandits.settings }),
    credit: (group) => creditAll([{ task: "", dataset: "", episodes: group }])[0]!,
    creditAll,
    observe(facts) {
      learn(facts);
      method.observe?.(facts);
    },
    state: () => ({ method: method.state?.() ?? null, bandits: bandits.state() }),
    restore(state) {
      const before = state as { readonly method?: unknown; readonly bandits?: unknown } | null;
      if (before === null || typeof before !== "object") throw wrongState("withRolloutBandits");
      bandits.restore(before.bandits);
      if (method.state !== undefined) method.restore?.(before.method);
    },
  } satisfies Method);
}

/** By place: the same in `creditAll` and `observe`, which see the same groups. */
const idOf = (group: number, episode: number) => `${group}/${episode}`;

/** Episodes without calls cannot be trained on, and are no arms. */
function armsOf(groups: readonly RewardedGroup[], credits: readonly GroupCredit[]): readonly StoredArm[] {
  return groups.flatMap(({ episodes }, k) =>
    episodes.flatMap(({ reward, calls }, i): readonly StoredArm[] => {
      if (calls.length === 0) return [];
      const advantages = credits[k]!.advantages[i]!;
      return [
        {
          id: idOf(k, i),
          group: `${k}`,
          reward,
          advantage: advantages.reduce((sum, advantage) => sum + advantage, 0) / advantages.length,
          // In tokens: standardised, its scale does not matter.
          lengthShare: calls.reduce((sum, { length }) => sum + (length ?? 1), 0),
          truncated: calls.some(({ truncated }) => truncated === true),
          entropy: 0,
          age: 0,
          uses: 0,
        },
      ];
    }),
  );
}
