/** @file Every card of the library. Written by scripts/methods-index.mjs; do not edit. */

import { emaAdvantageCard } from "../methods/advantage/ema.ts";
import { gigpoAdvantageCard } from "../methods/advantage/gigpo.ts";
import { treeGrpoAdvantageCard } from "../methods/advantage/tree-grpo.ts";
import { treeRpoAdvantageCard } from "../methods/advantage/tree-rpo.ts";
import { withoutRecalledCard } from "../methods/advantage/without-recalled.ts";
import { ar3poCard } from "../methods/ar3po.ts";
import type { MethodCard } from "../methods/card.ts";
import { cispoCard } from "../methods/cispo.ts";
import { broadcastCard } from "../methods/credit/broadcast.ts";
import { perAgentCard, perAgentTurnCard } from "../methods/credit/per-agent.ts";
import { treeMeanCard } from "../methods/credit/tree-mean.ts";
import { dapoCard } from "../methods/dapo.ts";
import { drGrpoCard } from "../methods/dr-grpo.ts";
import { emaGrpoCard } from "../methods/ema-grpo.ts";
import { fGrpoCard } from "../methods/f-grpo.ts";
import { gspoCard } from "../methods/gspo.ts";
import { clippedImportanceCard } from "../methods/loss/cispo.ts";
import { sequenceRatioCard } from "../methods/loss/gspo.ts";
import { policyGradientCard } from "../methods/loss/policy-gradient.ts";
import { reinforceCard } from "../methods/reinforce.ts";
import { rlooCard } from "../methods/rloo.ts";
import { adaptiveCard } from "../methods/sampler/adaptive.ts";
import { branchingCard } from "../methods/sampler/branching.ts";
import { dynamicSamplingCard } from "../methods/sampler/dynamic.ts";
import { infiniteSamplingCard } from "../methods/schedule/infinite-sampling.ts";
import { mangerCard } from "../methods/schedule/manger.ts";
import { rolloutBanditsCard } from "../methods/schedule/rollout-bandits.ts";
import { focalWeightCard } from "../methods/weight/focal.ts";
import { whitenedCard } from "../methods/weight/whitened.ts";
import { dynamicWeightsCard } from "../rewards/dynamic-weights.ts";
import { effectiveActionsCard } from "../rewards/effective-actions.ts";
import { gatedAccumulationCard } from "../rewards/gated-accumulation.ts";
import { informationConsistencyCard } from "../rewards/information-consistency.ts";
import { percentileRewardCard } from "../rewards/percentile-reward.ts";
import { rankingRewardCard } from "../rewards/ranking-reward.ts";
import { stepRewardCard } from "../rewards/step-reward.ts";
import { structureRewardCard } from "../rewards/structure-reward.ts";
import { toolMatchCard } from "../rewards/tool-match.ts";

export const allCards: readonly MethodCard[] = [
  adaptiveCard,
  ar3poCard,
  branchingCard,
  broadcastCard,
  cispoCard,
  clippedImportanceCard,
  dapoCard,
  drGrpoCard,
  dynamicSamplingCard,
  dynamicWeightsCard,
  effectiveActionsCard,
  emaAdvantageCard,
  emaGrpoCard,
  fGrpoCard,
  focalWeightCard,
  gatedAccumulationCard,
  gigpoAdvantageCard,
  gspoCard,
  infiniteSamplingCard,
  informationConsistencyCard,
  mangerCard,
  perAgentCard,
  perAgentTurnCard,
  percentileRewardCard,
  policyGradientCard,
  rankingRewardCard,
  reinforceCard,
  rlooCard,
  rolloutBanditsCard,
  sequenceRatioCard,
  stepRewardCard,
  structureRewardCard,
  toolMatchCard,
  treeGrpoAdvantageCard,
  treeMeanCard,
  treeRpoAdvantageCard,
  whitenedCard,
  withoutRecalledCard,
];
