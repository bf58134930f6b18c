/** @file Every card of the library. Written by scripts/methods-index.mjs; do not edit. */

import { treeGrpoAdvantageCard } from "../methods/advantage/tree-grpo.ts";
import { treeRpoAdvantageCard } from "../methods/advantage/tree-rpo.ts";
import type { MethodCard } from "../methods/card.ts";
import { broadcastCard } from "../methods/credit/broadcast.ts";
import { fGrpoCard } from "../methods/f-grpo.ts";
import { infiniteSamplingCard } from "../methods/schedule/infinite-sampling.ts";
import { mangerCard } from "../methods/schedule/manger.ts";
import { rolloutBanditsCard } from "../methods/schedule/rollout-bandits.ts";
import { focalWeightCard } from "../methods/weight/focal.ts";
import { dynamicWeightsCard } from "../rewards/dynamic-weights.ts";
import { gatedAccumulationCard } from "../rewards/gated-accumulation.ts";
import { percentileRewardCard } from "../rewards/percentile-reward.ts";

export const allCards: readonly MethodCard[] = [
  broadcastCard,
  dynamicWeightsCard,
  fGrpoCard,
  focalWeightCard,
  gatedAccumulationCard,
  infiniteSamplingCard,
  mangerCard,
  percentileRewardCard,
  rolloutBanditsCard,
  treeGrpoAdvantageCard,
  treeRpoAdvantageCard,
];
