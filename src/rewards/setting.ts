/** @file A setting of a reward that makes no sense, in the same words everywhere. */

import { RewardDefinitionError } from "./reward.ts";

/** @param wanted goes on from "it must be" */
export function wrongRewardSetting(
  reward: string,
  name: string,
  value: unknown,
  wanted: string,
): RewardDefinitionError {
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
  return new RewardDefinitionError({
    code: "E_REWARD_RANGE",
    message: `${reward} has ${name} ${shown}; it must be ${wanted}.`,
    hint: "leave it out for the default, or correct the numbers that are passed.",
    facts: { reward, setting: name },
  });
}

/** @throws RewardDefinitionError if one of the numbers is not finite. */
export function checkFinite(reward: string, name: string, values: readonly number[]): void {
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw wrongRewardSetting(reward, name, wrong, "a finite number");
}
