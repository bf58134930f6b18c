/** @file Every card of the library. Written by scripts/methods-index.mjs; do not edit. */

import { bestOnlyCard } from "../methods/advantage/best-only.ts";
import { bestAgainstWorstCard } from "../methods/advantage/best-worst.ts";
import { calibratedCard } from "../methods/advantage/calibrated.ts";
import { copoAdvantageCard } from "../methods/advantage/copo.ts";
import { emaAdvantageCard } from "../methods/advantage/ema.ts";
import { g2rpoAdvantageCard } from "../methods/advantage/g2rpo.ts";
import { gigpoAdvantageCard } from "../methods/advantage/gigpo.ts";
import { trackedBaselineCard } from "../methods/advantage/tracked-baseline.ts";
import { treeGrpoAdvantageCard } from "../methods/advantage/tree-grpo.ts";
import { treeRpoAdvantageCard } from "../methods/advantage/tree-rpo.ts";
import { withoutRecalledCard } from "../methods/advantage/without-recalled.ts";
import { ar3poCard } from "../methods/ar3po.ts";
import type { MethodCard } from "../methods/card.ts";
import { codpoCard, crpgCard, crraftCard } from "../methods/cgpo.ts";
import { cispoCard } from "../methods/cispo.ts";
import { copoCard } from "../methods/copo.ts";
import { broadcastCard } from "../methods/credit/broadcast.ts";
import { perAgentCard, perAgentTurnCard } from "../methods/credit/per-agent.ts";
import { treeMeanCard } from "../methods/credit/tree-mean.ts";
import { dapoCard } from "../methods/dapo.ts";
import { dpoCard } from "../methods/dpo.ts";
import { drGrpoCard } from "../methods/dr-grpo.ts";
import { emaGrpoCard } from "../methods/ema-grpo.ts";
import { fGrpoCard } from "../methods/f-grpo.ts";
import { g2rpoCard } from "../methods/g2rpo.ts";
import { gigpoCard } from "../methods/gigpo.ts";
import { gspoCard } from "../methods/gspo.ts";
import { clippedImportanceCard } from "../methods/loss/cispo.ts";
import { sequenceRatioCard } from "../methods/loss/gspo.ts";
import { likelihoodCard } from "../methods/loss/likelihood.ts";
import { policyGradientCard } from "../methods/loss/policy-gradient.ts";
import { preferenceCard } from "../methods/loss/preference.ts";
import { softGateCard } from "../methods/loss/sapo.ts";
import { mssrCard } from "../methods/mssr.ts";
import { entropyBonusCard } from "../methods/regulariser/entropy-bonus.ts";
import { entropyHingeCard } from "../methods/regulariser/entropy-hinge.ts";
import { epoCard } from "../methods/regulariser/epo.ts";
import { klPenaltyCard } from "../methods/regulariser/kl.ts";
import { reinforceCard } from "../methods/reinforce.ts";
import { reinforcePlusPlusCard } from "../methods/reinforce-plus-plus.ts";
import { rejectionSamplingCard } from "../methods/rejection-sampling.ts";
import { rlooCard } from "../methods/rloo.ts";
import { adaptiveCard } from "../methods/sampler/adaptive.ts";
import { branchingCard } from "../methods/sampler/branching.ts";
import { dynamicSamplingCard } from "../methods/sampler/dynamic.ts";
import { sapoCard } from "../methods/sapo.ts";
import { infiniteSamplingCard } from "../methods/schedule/infinite-sampling.ts";
import { mangerCard } from "../methods/schedule/manger.ts";
import { rolloutBanditsCard } from "../methods/schedule/rollout-bandits.ts";
import { entropyShapingCard } from "../methods/weight/entropy-shaping.ts";
import { focalWeightCard } from "../methods/weight/focal.ts";
import { klInRewardCard } from "../methods/weight/kl-in-reward.ts";
import { whitenedCard } from "../methods/weight/whitened.ts";
import { dynamicWeightsCard } from "../rewards/dynamic-weights.ts";
import { effectiveActionsCard } from "../rewards/effective-actions.ts";
import { gatedAccumulationCard } from "../rewards/gated-accumulation.ts";
import { groupJudgeCard } from "../rewards/group-judge.ts";
import { informationConsistencyCard } from "../rewards/information-consistency.ts";
import { lengthBonusCard } from "../rewards/length-bonus.ts";
import { percentileRewardCard } from "../rewards/percentile-reward.ts";
import { rankingRewardCard } from "../rewards/ranking-reward.ts";
import { rerankRewardCard } from "../rewards/rerank-reward.ts";
import { stepRewardCard } from "../rewards/step-reward.ts";
import { structureRewardCard } from "../rewards/structure-reward.ts";
import { toolMatchCard } from "../rewards/tool-match.ts";
import { turnCapCard } from "../rewards/turn-cap.ts";

export const allCards: readonly MethodCard[] = [
  adaptiveCard,
  ar3poCard,
  bestAgainstWorstCard,
  bestOnlyCard,
  branchingCard,
  broadcastCard,
  calibratedCard,
  cispoCard,
  clippedImportanceCard,
  codpoCard,
  copoAdvantageCard,
  copoCard,
  crpgCard,
  crraftCard,
  dapoCard,
  dpoCard,
  drGrpoCard,
  dynamicSamplingCard,
  dynamicWeightsCard,
  effectiveActionsCard,
  emaAdvantageCard,
  emaGrpoCard,
  entropyBonusCard,
  entropyHingeCard,
  entropyShapingCard,
  epoCard,
  fGrpoCard,
  focalWeightCard,
  g2rpoAdvantageCard,
  g2rpoCard,
  gatedAccumulationCard,
  gigpoAdvantageCard,
  gigpoCard,
  groupJudgeCard,
  gspoCard,
  infiniteSamplingCard,
  informationConsistencyCard,
  klInRewardCard,
  klPenaltyCard,
  lengthBonusCard,
  likelihoodCard,
  mangerCard,
  mssrCard,
  perAgentCard,
  perAgentTurnCard,
  percentileRewardCard,
  policyGradientCard,
  preferenceCard,
  rankingRewardCard,
  reinforceCard,
  reinforcePlusPlusCard,
  rejectionSamplingCard,
  rerankRewardCard,
  rlooCard,
  rolloutBanditsCard,
  sapoCard,
  sequenceRatioCard,
  softGateCard,
  stepRewardCard,
  structureRewardCard,
  toolMatchCard,
  trackedBaselineCard,
  treeGrpoAdvantageCard,
  treeMeanCard,
  treeRpoAdvantageCard,
  turnCapCard,
  whitenedCard,
  withoutRecalledCard,
];
