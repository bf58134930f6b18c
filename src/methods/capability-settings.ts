/** @file Settings of the capability-aware joint advantage, checked. */

import { wrongSetting } from "./errors.ts";
import { checkNumber } from "./number-setting.ts";

export interface CapabilityAdvantageSettings {
  /** K, steps. Default 5. */
  readonly window?: number;
  /** The least P̂ in a ratio. Default 1e-8. */
  readonly floor?: number;
  /** The range of ω. Default 0.1. */
  readonly leastRatio?: number;
  /** Default 10. */
  readonly mostRatio?: number;
  /** Steps at the start in which ω = 1. Default 0. */
  readonly warmUp?: number;
  /** Which rewards P sums up: "positive" takes those below 0 for 0, as the code does. Default "all". */
  readonly counts?: "all" | "positive";
  /** Default 1. */
  readonly ddof?: 0 | 1;
  /** Added to σ. Default 1e-6. */
  readonly epsilon?: number;
  /** Where all rewards of a task are equal: 0, or against μ̂ all the same. Default "zero". */
  readonly equalRewards?: "zero" | "baseline";
  /** Where μ̂ > 1, which rewards of 0 and 1 cannot be worth: the learner's own mean, or μ̂. Default "own". */
  readonly aboveOne?: "own" | "baseline";
  /** Whose baseline judges a foreign call. Default "learner". */
  readonly crossAdvantageBaseline?: "learner" | "source";
  /** false: ω = 1 in μ̂, the plain joint mean. Default true. */
  readonly weightBaseline?: boolean;
  /** false: ω = 1 on what is given. Default true. */
  readonly weightForeign?: boolean;
}

type Settings = Required<CapabilityAdvantageSettings>;

/** @throws MethodSettingsError E_METHOD_SETTING */
export function checkedCapability(settings: Settings): Settings {
  const number = (name: keyof Settings, range: Parameters<typeof checkNumber>[3]) =>
    checkNumber("capabilityAdvantage", name, settings[name] as number, range);
  number("window", { least: 1, integer: true });
  number("floor", { above: 0 });
  number("leastRatio", { above: 0, most: 1 });
  number("mostRatio", { least: 1 });
  number("warmUp", { least: 0, integer: true });
  number("epsilon", { least: 0 });
  const oneOf = {
    counts: ["all", "positive"],
    ddof: [0, 1],
    equalRewards: ["zero", "baseline"],
    aboveOne: ["own", "baseline"],
    crossAdvantageBaseline: ["learner", "source"],
    weightBaseline: [true, false],
    weightForeign: [true, false],
  } as const;
  for (const [name, allowed] of Object.entries(oneOf)) {
    const value = settings[name as keyof typeof oneOf];
    if (!(allowed as readonly unknown[]).includes(value)) {
      const words = allowed.map((one) => JSON.stringify(one)).join(" or ");
      throw wrongSetting("capabilityAdvantage", name, value, words);
    }
  }
  if (settings.equalRewards === "baseline") number("epsilon", { above: 0 });
  return settings;
}
