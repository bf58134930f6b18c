/** @file Settings of the rollout bandit, and checks of what it is given. */

import { LossError, wrongSetting } from "../errors.ts";
import type { Arm } from "./arms.ts";

export interface RolloutBanditSettings {
  /** Default "intra-group". */
  readonly candidates?: "intra-group" | "global";
  /** p, share of each group that is kept, at least one episode. Default 0.5. */
  readonly keep?: number;
  /** K of "global". Default: as many as came fresh. */
  readonly count?: number;
  /** L of "global", rounds that episodes stay. Default 3. */
  readonly rounds?: number;
  /** w_e. Default 0.5. */
  readonly entropyWeight?: number;
  /** e_min, in nats. Default: the running median of E, this round's included. */
  readonly entropyFloor?: number | "running median";
  /** ε at the start and at the end. Default [0.1, 0.02]. */
  readonly exploration?: readonly [number, number];
  /** Rounds from the one to the other. Default 100. */
  readonly explorationRounds?: number;
  /** Of Adam. Default 1e-3. */
  readonly learningRate?: number;
  /** Times the replay is gone through a round. Default 4. */
  readonly epochs?: number;
  /** Rounds that are replayed. Default 50. */
  readonly replay?: number;
  /** What is fitted to the reward. Default "each arm". */
  readonly fit?: "each arm" | "their mean";
  /** Default 0. */
  readonly seed?: number;
}

/** With all defaults; `count` alone may be left open. */
export type CheckedBanditSettings = Required<Omit<RolloutBanditSettings, "count">> &
  Pick<RolloutBanditSettings, "count">;

const defaults: CheckedBanditSettings = {
  candidates: "intra-group",
  keep: 0.5,
  rounds: 3,
  entropyWeight: 0.5,
  entropyFloor: "running median",
  exploration: [0.1, 0.02],
  explorationRounds: 100,
  learningRate: 1e-3,
  epochs: 4,
  replay: 50,
  fit: "each arm",
  seed: 0,
};

/** @throws MethodSettingsError */
export function checkBanditSettings(given: RolloutBanditSettings): CheckedBanditSettings {
  const settings: CheckedBanditSettings = Object.freeze({ ...defaults, ...given });
  const refuse = (name: keyof RolloutBanditSettings, wanted: string): never => {
    throw wrongSetting("rolloutBandits", name, settings[name], wanted);
  };
  const { candidates, keep, entropyWeight, entropyFloor, exploration, fit, count, learningRate } = settings;
  if (!["intra-group", "global"].includes(candidates)) refuse("candidates", '"intra-group" or "global"');
  if (!["each arm", "their mean"].includes(fit)) refuse("fit", '"each arm" or "their mean"');
  if (!(keep > 0 && keep <= 1)) refuse("keep", "above 0 and at most 1");
  if (!(entropyWeight >= 0 && Number.isFinite(entropyWeight)))
    refuse("entropyWeight", "a finite number of at least 0");
  if (entropyFloor !== "running median" && !Number.isFinite(entropyFloor))
    refuse("entropyFloor", 'a finite number or "running median"');
  if (exploration.length !== 2 || !exploration.every((rate) => rate >= 0 && rate <= 1))
    refuse("exploration", "two numbers from 0 to 1");
  if (!(learningRate > 0 && Number.isFinite(learningRate))) refuse("learningRate", "a finite number above 0");
  for (const name of ["rounds", "explorationRounds", "epochs", "replay"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1) refuse(name, "an integer of at least 1");
  }
  if (count !== undefined && (!Number.isInteger(count) || count < 1))
    refuse("count", "an integer of at least 1");
  if (!Number.isSafeInteger(settings.seed)) refuse("seed", "an integer");
  return settings;
}

/** @throws LossError if there is none, if two have one id, or if a number is none. */
export function checkArms(fresh: readonly Arm[], stored: readonly Arm[]): void {
  const refuse = (says: string, hint: string): never => {
    throw new LossError({ code: "E_BANDIT_ARMS", message: `A round of rolloutBandits ${says}`, hint });
  };
  if (fresh.length === 0)
    refuse(
      "has no episodes, so that it has no mean reward.",
      "leave out rounds in which no episode was complete.",
    );
  const seen = new Set(stored.map(({ id }) => id));
  for (const arm of fresh) {
    if (seen.has(arm.id)) refuse(`has episode "${arm.id}" twice.`, "give every episode an id of its own.");
    seen.add(arm.id);
    for (const [name, value] of Object.entries(arm)) {
      if (typeof value === "number" && !Number.isFinite(value))
        refuse(`has episode "${arm.id}" with ${name} ${value}.`, "look where that number comes from.");
    }
  }
}
