/**
 * @file Dynamic sampling: groups whose episodes are all worth the same teach nothing, so they are dropped, and other tasks
 * are sampled in their place, until the step has all of its groups or its waves are used up.
 *
 *   kept: std of the group's values > least,   0 < |right episodes| < G with rewards of 0 and 1
 *
 * Source: Yu et al., "DAPO" (arXiv 2503.14476), §3.2, eq. 11; maxWaves: `max_num_gen_batches` of its verl recipe. CHOSEN:
 * exactly as many tasks are added as are missing, where the recipe samples a batch of fixed size and throws the surplus
 * away; after the last wave groups without spread are dropped too, but not all of them: a step in which none has any keeps
 * its last ones and is counted as without signal.
 */

import type { MethodCard } from "../card.ts";
import { episodeValue } from "../episode-value.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import type { RewardedEpisode, SamplingRequest, SamplingView } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { SamplerPart } from "../parts.ts";

export interface DynamicSamplingSettings {
  /** Episodes a task. Default 8 (DAPO: 16). */
  readonly groupSize?: number;
  /** Waves of episodes a step, the first included; at most 99. Default 10 (DAPO's recipe). */
  readonly maxWaves?: number;
  /** Groups with a larger standard deviation (ddof 0) are kept. Default 1e-6. */
  readonly leastSpread?: number;
  /** What an episode is worth. Default: the mean of its calls' rewards. */
  readonly value?: (episode: RewardedEpisode) => number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function dynamicSampling(
  given: DynamicSamplingSettings = {},
): SamplerPart & { readonly samples: "group" } {
  const { groupSize = 8, maxWaves = 10, leastSpread = leastDeviation, value = episodeValue } = given;
  checkNumber("dynamicSampling", "groupSize", groupSize, { integer: true, least: 2 });
  checkNumber("dynamicSampling", "maxWaves", maxWaves, { integer: true, least: 1, most: 99 });
  checkNumber("dynamicSampling", "leastSpread", leastSpread, { least: 0 });
  const hasSpread = (episodes: readonly RewardedEpisode[]) =>
    episodes.length > 0 && spreadOf(episodes.map(value), 0).deviation > leastSpread;
  const next = ({ groups, wave, tasksPerStep }: SamplingView): readonly SamplingRequest[] => {
    const open = groups.flatMap(({ dropped, episodes }, group) =>
      dropped ? [] : [{ group, kept: hasSpread(episodes) }],
    );
    const kept = open.filter((one) => one.kept).length;
    const drops = open.flatMap(({ group, kept }) => (kept ? [] : [{ kind: "drop", group } as const]));
    if (wave >= maxWaves) return kept === 0 ? [] : drops;
    const missing = Math.max(0, tasksPerStep - kept);
    return [...drops, ...Array.from({ length: missing }, () => ({ kind: "task" }) as const)];
  };
  return Object.freeze({
    stage: "sampler",
    name: "dynamic",
    samples: "group",
    settings: {
      groupSize,
      maxWaves,
      leastSpread,
      value: value === episodeValue ? "mean of the calls' rewards" : "a function of the caller",
    },
    groupSize,
    next,
  } satisfies SamplerPart);
}

export const dynamicSamplingCard: MethodCard = {
  name: "dynamic-sampling",
  title: "Dynamic sampling",
  stage: "sampler",
  line: "groups without spread are dropped and other tasks sampled instead, until the step is full",
  use: 'import { dynamicSampling } from "troupe/methods"',
  formula: ["kept: std of the group's values > least; with rewards of 0 and 1: 0 < right episodes < G"],
  defaults: {
    groupSize: { value: 8, source: "CHOSEN: as elsewhere here; DAPO has 16" },
    maxWaves: { value: 10, source: "official recipe" },
    leastSpread: { value: 1e-6, source: "CHOSEN: below it rewards count as equal everywhere here" },
    value: { value: "mean of the calls' rewards", source: "CHOSEN: what groups are compared by" },
  },
  source: "Yu et al., DAPO (arXiv 2503.14476)",
  notes: ["CHOSEN: as many tasks are added as are missing, not a batch of fixed size"],
};
