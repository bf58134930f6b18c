/**
 * @file MMAPO: three agents that learn together, each in its own way (`perPolicy`):
 *
 *   selector     chooses a retrieval expert:   PPO over one-step episodes (`selectorPpo`)
 *   aligner      rewrites what was found:      PPO with a value head, reward × confidence (`alignerPpo`)
 *   recommender  names one of the options:     the right one against hard negatives, DPO form (`optionContrast`)
 *
 * The reward, R = R_rec + λ R_MIG, is the run's own (`informationGain` of `troupe/rewards`).
 *
 * Source: MixRAGRec (official code; the paper's body was not readable). Its learning rate for the selector is 3e-4 and its
 * gradient norm 0.5, its batch 64: settings of the run (`optimizers`, `tasksPerStep`).
 */

import { type OptionTextsSettings, optionTexts } from "./advantage/option-texts.ts";
import { type AlignerPpoSettings, alignerPpo } from "./aligner-ppo.ts";
import type { MethodCard } from "./card.ts";
import { compose } from "./compose.ts";
import { MethodSettingsError } from "./errors.ts";
import { type OptionContrastSettings, optionContrast } from "./loss/option-contrast.ts";
import { type PerPolicyMethod, perPolicy } from "./per-policy.ts";
import { fixedGroups } from "./sampler/fixed.ts";
import { type SelectorPpoSettings, selectorPpo } from "./selector-ppo.ts";

export interface MmapoSettings {
  /** What an episode was asked, for the recommender. */
  readonly options: OptionTextsSettings["options"];
  /** Names of the three policies in the run. Default: "selector", "aligner", "recommender". */
  readonly policies?: {
    readonly selector?: string;
    readonly aligner?: string;
    readonly recommender?: string;
  };
  /** Episodes per task. Default 1 (official code: one a sample). */
  readonly groupSize?: number;
  readonly selector?: Omit<SelectorPpoSettings, "groupSize">;
  readonly aligner?: Omit<AlignerPpoSettings, "groupSize">;
  readonly recommender?: OptionContrastSettings &
    Pick<OptionTextsSettings, "agent" | "wrong"> & {
      /** Times the batch is gone through. Default 1. */
      readonly epochs?: number;
    };
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING; E_METHOD_POLICY if two of the policies have one name
 * @example
 * train({ …, method: mmapo({ options: ({ result }) => questionOf(result) }), rewards: informationGain("mig", { … }) });
 */
export function mmapo({
  options,
  policies: { selector = "selector", aligner = "aligner", recommender = "recommender" } = {},
  groupSize = 1,
  ...of
}: MmapoSettings): PerPolicyMethod {
  const names = [selector, aligner, recommender];
  if (new Set(names).size < names.length) {
    throw new MethodSettingsError({
      code: "E_METHOD_POLICY",
      message: `mmapo trains three policies, and was given the names ${names.map((name) => `"${name}"`).join(", ")}.`,
      hint: "give each of the three agents a policy of its own.",
    });
  }
  const { beta, negatives, epochs = 1, agent, wrong } = of.recommender ?? {};
  return perPolicy(
    {
      [selector]: selectorPpo({ ...of.selector, groupSize }),
      [aligner]: alignerPpo({ ...of.aligner, groupSize }),
      [recommender]: compose({
        name: "option-contrast",
        sampler: fixedGroups<number>(groupSize),
        advantage: optionTexts({
          options,
          ...(agent === undefined ? {} : { agent }),
          ...(wrong === undefined ? {} : { wrong }),
        }),
        loss: optionContrast({
          ...(beta === undefined ? {} : { beta }),
          ...(negatives === undefined ? {} : { negatives }),
        }),
        epochs,
      }),
    },
    { name: "mmapo" },
  );
}

export const mmapoCard: MethodCard = {
  name: "mmapo",
  title: "MMAPO",
  stage: "method",
  line: "a selector, an aligner and a recommender trained together: PPO, PPO with confidence, option contrast",
  use: 'import { mmapo } from "troupe/methods"',
  formula: [
    "selector: PPO over one-step episodes;   aligner: PPO with a value head on R × confidence",
    "recommender: mean over pairs of −log σ(β [(lp_w − ref_w) − (lp_l − ref_l)])",
  ],
  defaults: {
    groupSize: { value: 1, source: "official code: one episode a sample" },
  },
  source: "MixRAGRec (official code)",
  notes: [
    "The default value target of the selector is R, where the official code has a normalised advantage + V_old.",
    "RECONSTRUCTED: the aligner's confidence. The reward is `informationGain` of troupe/rewards.",
  ],
};
