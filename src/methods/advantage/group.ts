/**
 * @file Advantages relative to the group, the estimator of GRPO and its relatives:
 *
 *   A_c = (r_c − mean) / (std + ε)
 *
 * Mean and std are over one value per episode, the mean over its calls that share the baseline, so that an episode with
 * many calls does not weigh more. `baseline: "others"` leaves the episode itself out of its mean (RLOO); "none" takes none.
 *
 * Source: Shao et al., "DeepSeekMath" (arXiv 2402.03300), §4.1.2; without std: Liu et al., "Dr. GRPO" (2503.20783);
 * leave-one-out: Ahmadian et al., "Back to Basics" (2402.14740). A baseline without spread gives zeros: dividing float
 * noise by a tiny std would make full-size advantages of it.
 */

import type { MethodCard } from "../card.ts";
import { baselinesOf } from "../episode-baselines.ts";
import { wrongSetting } from "../errors.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";

export interface GroupAdvantageSettings {
  /** Default 0, the population's; verl and TRL compute 1. */
  readonly ddof?: 0 | 1;
  /** Default true. */
  readonly divideByDeviation?: boolean;
  /** Added to the standard deviation. Default 1e-6. */
  readonly epsilon?: number;
  /**
   * "group": the mean of all; "others": of the other episodes, without dividing by the std; "none": 0. Default "group".
   */
  readonly baseline?: "group" | "others" | "none";
  /** A baseline with one value: 0, or the raw value as in verl (mean 0, std 1). Default "zero". */
  readonly single?: "zero" | "raw";
}

type Compares<Given extends GroupAdvantageSettings> = Given["baseline"] extends "none" ? "steps" : "episodes";
// Which episode is left out depends on whose copy of a shared call it is.
type Judges<Given extends GroupAdvantageSettings> = Given["baseline"] extends "others" ? "episodes" : "calls";

export function groupAdvantage<const Given extends GroupAdvantageSettings>(
  given: Given = {} as Given,
): Omit<AdvantagePart, "compares" | "gives" | "judges"> & {
  readonly compares: Compares<Given>;
  readonly judges: Judges<Given>;
  readonly gives: "advantages";
} {
  const settings: Required<GroupAdvantageSettings> = {
    ddof: 0,
    divideByDeviation: true,
    epsilon: 1e-6,
    baseline: "group",
    single: "zero",
    ...given,
  };
  if (settings.ddof !== 0 && settings.ddof !== 1)
    throw wrongSetting("groupAdvantage", "ddof", settings.ddof, "0 or 1");
  if (!(settings.epsilon >= 0 && Number.isFinite(settings.epsilon)))
    throw wrongSetting("groupAdvantage", "epsilon", settings.epsilon, "a finite number of at least 0");
  if (!["group", "others", "none"].includes(settings.baseline))
    throw wrongSetting("groupAdvantage", "baseline", settings.baseline, '"group", "others" or "none"');
  if (settings.single !== "zero" && settings.single !== "raw")
    throw wrongSetting("groupAdvantage", "single", settings.single, '"zero" or "raw"');
  return Object.freeze({
    stage: "advantage",
    name: "group",
    // Without a baseline nothing is compared, so one episode is enough.
    compares: (settings.baseline === "none" ? "steps" : "episodes") as Compares<Given>,
    judges: (settings.baseline === "others" ? "episodes" : "calls") as Judges<Given>,
    gives: "advantages",
    settings,
    advantages: (groups: readonly JudgedGroup[]) => groups.map((judged) => groupAdvantages(judged, settings)),
  } as const);
}

/** One group's. */
function groupAdvantages(judged: JudgedGroup, settings: Required<GroupAdvantageSettings>): GroupAdvantages {
  const { values } = judged;
  const baselines = baselinesOf(judged);
  const { baseline, ddof, divideByDeviation, epsilon, single } = settings;
  let hasSignal = false;
  const spreads = new Map(
    [...baselines].map(([key, means]) => [key, spreadOf([...means.values()], ddof)] as const),
  );
  const advantages = values.map((row, i) =>
    row.map((value, j) => {
      const key = judged.compared?.[i]?.[j] ?? "";
      const means = baselines.get(key)!;
      const { mean, deviation } = spreads.get(key)!;
      if (baseline === "none") {
        if (value !== 0) hasSignal = true;
        return value;
      }
      if (means.size === 1 && single === "raw") {
        if (value !== 0) hasSignal = true;
        return value;
      }
      if (deviation < leastDeviation) return 0;
      hasSignal = true;
      if (baseline === "others") return value - (mean * means.size - means.get(i)!) / (means.size - 1);
      return (value - mean) / (divideByDeviation ? deviation + epsilon : 1);
    }),
  );
  return { advantages, hasSignal };
}

export const groupAdvantageCard: MethodCard = {
  name: "group-advantage",
  title: "Group advantage",
  stage: "advantage",
  line: "an episode against the others of its task: GRPO's, Dr. GRPO's, RLOO's and REINFORCE's estimator",
  use: 'import { groupAdvantage } from "troupe/methods"',
  formula: [
    "A_c = (r_c − mean) / (std + ε), over one value per episode and baseline",
    'baseline "others": A_c = r_c − mean of the other episodes; "none": A_c = r_c',
  ],
  defaults: {
    ddof: { value: 0, source: "DeepSeekMath, as printed; verl and TRL compute 1" },
    divideByDeviation: { value: true, source: "DeepSeekMath; Dr. GRPO: false" },
    epsilon: { value: 1e-6, source: "verl" },
    baseline: { value: "group", source: "DeepSeekMath; RLOO: others" },
    single: { value: "zero", source: "CHOSEN; verl keeps the raw reward" },
  },
  source: "Shao et al., DeepSeekMath (arXiv 2402.03300), §4.1.2",
  notes: [
    "CHOSEN: an episode counts once in its baseline, with the mean of its calls",
    "Equal values give zeros, also where their deviation is float noise",
  ],
};
