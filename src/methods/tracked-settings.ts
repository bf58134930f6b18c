/** @file What the tracked baseline may be set to. */

import { wrongSetting } from "./errors.ts";
import { checkNumber } from "./number-setting.ts";

export interface TrackedBaselineSettings {
  /** η_min. Default 0.875 (MSSR). */
  readonly leastKept?: number;
  /** η_max. Default 0.96 (MSSR). */
  readonly mostKept?: number;
  /** Nats a token. Default 0.06 (MSSR's configuration; its sweep favours 0.01). */
  readonly klTarget?: number;
  /** v̂ of a task that was never met. Default 0.5 (MSSR). */
  readonly first?: number;
  /** The reward of a right episode. Default 1. */
  readonly right?: number;
  /** The reward of a wrong episode. Default 0. */
  readonly wrong?: number;
  /** false: A = r − v̂. Default true. */
  readonly whiten?: boolean;
  /** Tasks are drawn in proportion to √(v̂ (1 − v̂)), and not each once an epoch. Default false (optional in the paper). */
  readonly chooseTasks?: boolean;
  /** Default 0. */
  readonly ddof?: 0 | 1;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
}

type Settings = Required<TrackedBaselineSettings>;

/** @throws MethodSettingsError E_METHOD_SETTING */
export function checkedTracking(settings: Settings): Settings {
  const { leastKept, mostKept, klTarget, first, right, wrong, ddof, epsilon, chooseTasks } = settings;
  if (!(leastKept >= 0 && leastKept < 1))
    throw wrongSetting("trackedBaseline", "leastKept", leastKept, "at least 0 and below 1");
  checkNumber("trackedBaseline", "mostKept", mostKept, { least: leastKept, most: 1 });
  checkNumber("trackedBaseline", "klTarget", klTarget, { above: 0 });
  checkNumber("trackedBaseline", "first", first, { least: 0, most: 1 });
  checkNumber("trackedBaseline", "wrong", wrong);
  checkNumber("trackedBaseline", "right", right, { above: wrong });
  checkNumber("trackedBaseline", "epsilon", epsilon, { least: 0 });
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("trackedBaseline", "ddof", ddof, "0 or 1");
  if (typeof chooseTasks !== "boolean")
    throw wrongSetting("trackedBaseline", "chooseTasks", chooseTasks, "true or false");
  return settings;
}
