/** @file Every card of the library. Written by scripts/methods-index.mjs; do not edit. */

import { bestOnlyCard } from "../methods/advantage/best-only.ts";
import { bestAgainstWorstCard } from "../methods/advantage/best-worst.ts";
import { calibratedCard } from "../methods/advantage/calibrated.ts";
import { callGroupCard } from "../methods/advantage/call-group.ts";
import { capabilityAdvantageCard } from "../methods/advantage/capability.ts";
import { copoAdvantageCard } from "../methods/advantage/copo.ts";
import { emaAdvantageCard } from "../methods/advantage/ema.ts";
import { g2rpoAdvantageCard } from "../methods/advantage/g2rpo.ts";
import { gigpoAdvantageCard } from "../methods/advantage/gigpo.ts";
import { groupAdvantageCard } from "../methods/advantage/group.ts";
import { leaveOneOutCard } from "../methods/advantage/leave-one-out.ts";
import { mixedGroupAdvantageCard } from "../methods/advantage/mixed-group.ts";
import { optionTextsCard } from "../methods/advantage/option-texts.ts";
import { semiOnlineAdvantageCard } from "../methods/advantage/semi-online.ts";
import { siblingPairsCard } from "../methods/advantage/sibling-pairs.ts";
import { trackedBaselineCard } from "../methods/advantage/tracked-baseline.ts";
import { treeGrpoAdvantageCard } from "../methods/advantage/tree-grpo.ts";
import { treeNodesAdvantageCard } from "../methods/advantage/tree-nodes.ts";
import { treeRpoAdvantageCard } from "../methods/advantage/tree-rpo.ts";
import { withoutRecalledCard } from "../methods/advantage/without-recalled.ts";
import { alignerPpoCard } from "../methods/aligner-ppo.ts";
import { ar3poCard } from "../methods/ar3po.ts";
import type { MethodCard } from "../methods/card.ts";
import { codpoCard, crpgCard, crraftCard } from "../methods/cgpo.ts";
import { cispoCard } from "../methods/cispo.ts";
import { constrainedCard } from "../methods/constrained.ts";
import { copoCard } from "../methods/copo.ts";
import { broadcastCard } from "../methods/credit/broadcast.ts";
import { perAgentCard, perAgentTurnCard } from "../methods/credit/per-agent.ts";
import { publicGoodsCard } from "../methods/credit/public-goods.ts";
import { rankConsistencyCard } from "../methods/credit/rank-consistency.ts";
import { reflectGainCard } from "../methods/credit/reflect-gain.ts";
import { rolePenaltyCard } from "../methods/credit/role-penalty.ts";
import { treeMeanCard } from "../methods/credit/tree-mean.ts";
import { treeShapingCard } from "../methods/credit/tree-shaping.ts";
import { dapoCard } from "../methods/dapo.ts";
import { dpoCard } from "../methods/dpo.ts";
import { drGrpoCard } from "../methods/dr-grpo.ts";
import { emaGrpoCard } from "../methods/ema-grpo.ts";
import { fGrpoCard } from "../methods/f-grpo.ts";
import { g2rpoCard } from "../methods/g2rpo.ts";
import { gigpoCard } from "../methods/gigpo.ts";
import { grpoCard } from "../methods/grpo.ts";
import { gspoCard } from "../methods/gspo.ts";
import { hacpoCard } from "../methods/hacpo.ts";
import { clippedImportanceCard } from "../methods/loss/cispo.ts";
import { clippedCard } from "../methods/loss/clipped.ts";
import { crossPolicyRatioCard } from "../methods/loss/cross-policy.ts";
import { sequenceRatioCard } from "../methods/loss/gspo.ts";
import { likelihoodCard } from "../methods/loss/likelihood.ts";
import { optionContrastCard } from "../methods/loss/option-contrast.ts";
import { policyGradientCard } from "../methods/loss/policy-gradient.ts";
import { preferenceCard } from "../methods/loss/preference.ts";
import { softGateCard } from "../methods/loss/sapo.ts";
import { truncatedImportanceCard } from "../methods/loss/truncated-importance.ts";
import { mGrpoCard } from "../methods/m-grpo.ts";
import { mars2Card } from "../methods/mars2.ts";
import { mmapoCard } from "../methods/mmapo.ts";
import { mssrCard } from "../methods/mssr.ts";
import { perPolicyCard } from "../methods/per-policy.ts";
import { ppoCard } from "../methods/ppo.ts";
import { r3Card } from "../methods/r3.ts";
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
import { fixedGroupsCard } from "../methods/sampler/fixed.ts";
import { replayCard } from "../methods/sampler/replay.ts";
import { searchTreesCard } from "../methods/sampler/search-trees.ts";
import { sapoCard } from "../methods/sapo.ts";
import { infiniteSamplingCard } from "../methods/schedule/infinite-sampling.ts";
import { mangerCard } from "../methods/schedule/manger.ts";
import { rolloutBanditsCard } from "../methods/schedule/rollout-bandits.ts";
import { selectorPpoCard } from "../methods/selector-ppo.ts";
import { semiOnlineCard } from "../methods/semi-online.ts";
import { sharedRolloutsCard } from "../methods/shared-rollouts.ts";
import { visualWeightsCard } from "../methods/visual-weights.ts";
import { entropyShapingCard } from "../methods/weight/entropy-shaping.ts";
import { focalWeightCard } from "../methods/weight/focal.ts";
import { klInRewardCard } from "../methods/weight/kl-in-reward.ts";
import { whitenedCard } from "../methods/weight/whitened.ts";
import { dynamicWeightsCard } from "../rewards/dynamic-weights.ts";
import { effectiveActionsCard } from "../rewards/effective-actions.ts";
import { feasibilityCard } from "../rewards/feasibility.ts";
import { gatedAccumulationCard } from "../rewards/gated-accumulation.ts";
import { groupJudgeCard } from "../rewards/group-judge.ts";
import { informationConsistencyCard } from "../rewards/information-consistency.ts";
import { informationGainCard } from "../rewards/information-gain.ts";
import { lengthBonusCard } from "../rewards/length-bonus.ts";
import { lengthEnvelopeCard } from "../rewards/length-envelope.ts";
import { percentileRewardCard } from "../rewards/percentile-reward.ts";
import { rankingRewardCard } from "../rewards/ranking-reward.ts";
import { rerankRewardCard } from "../rewards/rerank-reward.ts";
import { stepRewardCard } from "../rewards/step-reward.ts";
import { structureRewardCard } from "../rewards/structure-reward.ts";
import { toolMatchCard } from "../rewards/tool-match.ts";
import { turnCapCard } from "../rewards/turn-cap.ts";

export const allCards: readonly MethodCard[] = [
  adaptiveCard,
  alignerPpoCard,
  ar3poCard,
  bestAgainstWorstCard,
  bestOnlyCard,
  branchingCard,
  broadcastCard,
  calibratedCard,
  callGroupCard,
  capabilityAdvantageCard,
  cispoCard,
  clippedCard,
  clippedImportanceCard,
  codpoCard,
  constrainedCard,
  copoAdvantageCard,
  copoCard,
  crossPolicyRatioCard,
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
  feasibilityCard,
  fixedGroupsCard,
  focalWeightCard,
  g2rpoAdvantageCard,
  g2rpoCard,
  gatedAccumulationCard,
  gigpoAdvantageCard,
  gigpoCard,
  groupAdvantageCard,
  groupJudgeCard,
  grpoCard,
  gspoCard,
  hacpoCard,
  infiniteSamplingCard,
  informationConsistencyCard,
  informationGainCard,
  klInRewardCard,
  klPenaltyCard,
  leaveOneOutCard,
  lengthBonusCard,
  lengthEnvelopeCard,
  likelihoodCard,
  mGrpoCard,
  mangerCard,
  mars2Card,
  mixedGroupAdvantageCard,
  mmapoCard,
  mssrCard,
  optionContrastCard,
  optionTextsCard,
  perAgentCard,
  perAgentTurnCard,
  perPolicyCard,
  percentileRewardCard,
  policyGradientCard,
  ppoCard,
  preferenceCard,
  publicGoodsCard,
  r3Card,
  rankConsistencyCard,
  rankingRewardCard,
  reflectGainCard,
  reinforceCard,
  reinforcePlusPlusCard,
  rejectionSamplingCard,
  replayCard,
  rerankRewardCard,
  rlooCard,
  rolePenaltyCard,
  rolloutBanditsCard,
  sapoCard,
  searchTreesCard,
  selectorPpoCard,
  semiOnlineAdvantageCard,
  semiOnlineCard,
  sequenceRatioCard,
  sharedRolloutsCard,
  siblingPairsCard,
  softGateCard,
  stepRewardCard,
  structureRewardCard,
  toolMatchCard,
  trackedBaselineCard,
  treeGrpoAdvantageCard,
  treeMeanCard,
  treeNodesAdvantageCard,
  treeRpoAdvantageCard,
  treeShapingCard,
  truncatedImportanceCard,
  turnCapCard,
  visualWeightsCard,
  whitenedCard,
  withoutRecalledCard,
];
