/** @file Public surface of `troupe/methods`. */

export { type BestOnlySettings, bestOnly, bestOnlyCard } from "./advantage/best-only.ts";
export {
  type BestAgainstWorstSettings,
  bestAgainstWorst,
  bestAgainstWorstCard,
} from "./advantage/best-worst.ts";
export { type CalibratedSettings, calibrated, calibratedCard } from "./advantage/calibrated.ts";
export { alignedCounts, type CallGroupSettings, callGroup, callGroupCard } from "./advantage/call-group.ts";
export {
  type CapabilityAdvantageSettings,
  capabilityAdvantage,
  capabilityAdvantageCard,
} from "./advantage/capability.ts";
export {
  answerEntropy,
  answerOf,
  type CopoAdvantageSettings,
  copoAdvantage,
  copoAdvantageCard,
} from "./advantage/copo.ts";
export { type EmaAdvantageSettings, emaAdvantage, emaAdvantageCard } from "./advantage/ema.ts";
export { type G2rpoAdvantageSettings, g2rpoAdvantage, g2rpoAdvantageCard } from "./advantage/g2rpo.ts";
export { type GigpoAdvantageSettings, gigpoAdvantage, gigpoAdvantageCard } from "./advantage/gigpo.ts";
export { type GroupAdvantageSettings, groupAdvantage, groupAdvantageCard } from "./advantage/group.ts";
export { leaveOneOut, leaveOneOutCard } from "./advantage/leave-one-out.ts";
export {
  type MixedGroupAdvantageSettings,
  mixedGroupAdvantage,
  mixedGroupAdvantageCard,
} from "./advantage/mixed-group.ts";
export {
  type OptionTextsSettings,
  optionTexts,
  optionTextsCard,
  type Question,
} from "./advantage/option-texts.ts";
export {
  type SemiOnlineAdvantageSettings,
  semiOnlineAdvantage,
  semiOnlineAdvantageCard,
} from "./advantage/semi-online.ts";
export { type SiblingPairsSettings, siblingPairs, siblingPairsCard } from "./advantage/sibling-pairs.ts";
export {
  type TrackedBaselineSettings,
  trackedBaseline,
  trackedBaselineCard,
} from "./advantage/tracked-baseline.ts";
export {
  type TreeGrpoAdvantageSettings,
  treeGrpoAdvantage,
  treeGrpoAdvantageCard,
} from "./advantage/tree-grpo.ts";
export {
  type TreeNodesAdvantageSettings,
  treeNodesAdvantage,
  treeNodesAdvantageCard,
} from "./advantage/tree-nodes.ts";
export { treeRpoAdvantage, treeRpoAdvantageCard } from "./advantage/tree-rpo.ts";
export { withoutRecalled, withoutRecalledCard } from "./advantage/without-recalled.ts";
export { type Aggregation, tokenWeight } from "./aggregation.ts";
export { type AlignerPpoSettings, alignerPpo, alignerPpoCard } from "./aligner-ppo.ts";
export { type Ar3poSettings, ar3po, ar3poCard } from "./ar3po.ts";
export { taskWeight } from "./beta-tracker.ts";
export type { MethodCard, MethodDefault, MethodStage } from "./card.ts";
export {
  type CgpoSettings,
  type CodpoSettings,
  codpo,
  codpoCard,
  crpg,
  crpgCard,
  crraft,
  crraftCard,
} from "./cgpo.ts";
export { type CispoSettings, cispo, cispoCard } from "./cispo.ts";
export { compose, type MethodParts } from "./compose.ts";
export { type ConstrainedSettings, constrained, constrainedCard } from "./constrained.ts";
export { type CopoSettings, copo, copoCard } from "./copo.ts";
export { broadcast, broadcastCard } from "./credit/broadcast.ts";
export { perAgent, perAgentCard, perAgentTurn, perAgentTurnCard } from "./credit/per-agent.ts";
export { type PublicGoodsSettings, publicGoods, publicGoodsCard } from "./credit/public-goods.ts";
export {
  ndcg,
  type RankConsistencySettings,
  rankConsistency,
  rankConsistencyCard,
} from "./credit/rank-consistency.ts";
export { type ReflectGainSettings, reflectGain, reflectGainCard } from "./credit/reflect-gain.ts";
export { type Penalty, rolePenalty, rolePenaltyCard } from "./credit/role-penalty.ts";
export { type TreeMeanSettings, treeMean, treeMeanCard } from "./credit/tree-mean.ts";
export {
  type Overlong,
  type TreeShapingSettings,
  treeShaping,
  treeShapingCard,
} from "./credit/tree-shaping.ts";
export { type DapoSettings, dapo, dapoCard } from "./dapo.ts";
export { type DpoSettings, dpo, dpoCard } from "./dpo.ts";
export { type DrGrpoSettings, drGrpo, drGrpoCard } from "./dr-grpo.ts";
export { type EmaGrpoSettings, emaGrpo, emaGrpoCard } from "./ema-grpo.ts";
export { LossError, MethodSettingsError } from "./errors.ts";
export { type FGrpoSettings, fGrpo, fGrpoCard } from "./f-grpo.ts";
export { type G2rpoSettings, g2rpo, g2rpoCard } from "./g2rpo.ts";
export { type GaeSettings, gae } from "./gae.ts";
export { type GigpoSettings, gigpo, gigpoCard } from "./gigpo.ts";
export { type GroupNormalisation, groupCredit, normalise, type Spread, spreadOf } from "./group-advantage.ts";
export { type GrpoSettings, grpo, grpoCard } from "./grpo.ts";
export { type GspoSettings, gspo, gspoCard } from "./gspo.ts";
export { type HacpoSettings, hacpo, hacpoCard } from "./hacpo.ts";
export { type KlEstimator, type KlPlace, type KlSettings, klGradient, klValue } from "./kl.ts";
export { type ClippedImportanceSettings, clippedImportance, clippedImportanceCard } from "./loss/cispo.ts";
export { type ClippedSettings, clipped, clippedCard } from "./loss/clipped.ts";
export { type CrossPolicySettings, crossPolicyRatio, crossPolicyRatioCard } from "./loss/cross-policy.ts";
export { type SequenceRatioSettings, sequenceRatio, sequenceRatioCard } from "./loss/gspo.ts";
export { type LikelihoodSettings, likelihood, likelihoodCard } from "./loss/likelihood.ts";
export {
  type OptionContrastSettings,
  optionContrast,
  optionContrastCard,
} from "./loss/option-contrast.ts";
export { type PolicyGradientSettings, policyGradient, policyGradientCard } from "./loss/policy-gradient.ts";
export { type PreferenceSettings, preference, preferenceCard } from "./loss/preference.ts";
export { type SoftGateSettings, softGate, softGateCard } from "./loss/sapo.ts";
export {
  type TruncatedImportanceSettings,
  truncatedImportance,
  truncatedImportanceCard,
} from "./loss/truncated-importance.ts";
export { type MGrpoSettings, mGrpo, mGrpoCard } from "./m-grpo.ts";
export { type Mars2Settings, mars2, mars2Card } from "./mars2.ts";
export type {
  BatchCall,
  BatchEstimates,
  BatchTotals,
  GivenText,
  GroupCredit,
  GroupSampler,
  LossInput,
  LossOutput,
  LossStatistics,
  Method,
  MethodNeeds,
  RememberedEpisode,
  RewardedCall,
  RewardedEpisode,
  RewardedGroup,
  SamplingRequest,
  SamplingView,
  StepFacts,
} from "./method.ts";
export { type MmapoSettings, mmapo, mmapoCard } from "./mmapo.ts";
export { type MssrSettings, mssr, mssrCard } from "./mssr.ts";
export type {
  AdvantagePart,
  CreditAssigner,
  GroupAdvantages,
  JudgedGroup,
  LossKernel,
  PartNeeds,
  Regulariser,
  SamplerPart,
  SequenceWeight,
  TokenWeight,
} from "./parts.ts";
export { afterStep, firstReturn, semiOnlineReturns } from "./patched-returns.ts";
export { type PerPolicyMethod, type PolicyMethods, perPolicy, perPolicyCard } from "./per-policy.ts";
export { ppo, ppoCard } from "./ppo.ts";
export type { PpoSettings } from "./ppo-settings.ts";
export { type R3Settings, r3, r3Card } from "./r3.ts";
export { type ReflectionSettings, toReflectOn } from "./reflection.ts";
export { type EntropyBonusSettings, entropyBonus, entropyBonusCard } from "./regulariser/entropy-bonus.ts";
export { type EntropyHingeSettings, entropyHinge, entropyHingeCard } from "./regulariser/entropy-hinge.ts";
export { type EpoSettings, epo, epoCard } from "./regulariser/epo.ts";
export { type KlPenaltySettings, klPenalty, klPenaltyCard } from "./regulariser/kl.ts";
export { type ReinforceSettings, reinforce, reinforceCard } from "./reinforce.ts";
export {
  type ReinforcePlusPlusSettings,
  reinforcePlusPlus,
  reinforcePlusPlusCard,
} from "./reinforce-plus-plus.ts";
export {
  type RejectionSamplingSettings,
  rejectionSampling,
  rejectionSamplingCard,
} from "./rejection-sampling.ts";
export { type RlooSettings, rloo, rlooCard } from "./rloo.ts";
export { type AdaptiveSettings, adaptive, adaptiveCard, expectedEpisodes } from "./sampler/adaptive.ts";
export { type BranchingSettings, branching, branchingCard } from "./sampler/branching.ts";
export { type DynamicSamplingSettings, dynamicSampling, dynamicSamplingCard } from "./sampler/dynamic.ts";
export { fixedGroups, fixedGroupsCard } from "./sampler/fixed.ts";
export { type ReplaySettings, replay, replayCard } from "./sampler/replay.ts";
export { searchTrees, searchTreesCard } from "./sampler/search-trees.ts";
export { type SapoSettings, sapo, sapoCard } from "./sapo.ts";
export {
  type Arm,
  type BanditMethodSettings,
  type DistillationSettings,
  type EpisodeRequest,
  type EpisodeSchedule,
  extraPasses,
  type InfiniteSampling,
  type InfiniteSamplingSettings,
  infiniteSampling,
  infiniteSamplingCard,
  type LengthPredictor,
  type MakespanPlan,
  type MakespanSettings,
  type Manger,
  type MangerSettings,
  manger,
  mangerCard,
  type OrderRule,
  orderByLength,
  type PlannedSchedule,
  planMakespan,
  type RandomDistillation,
  type ReuseCountSettings,
  type ReusedCall,
  type RolloutBanditSettings,
  type RolloutBandits,
  type RunningQuantileSettings,
  randomDistillation,
  reuseCounts,
  rolloutBandits,
  rolloutBanditsCard,
  runInSchedule,
  runningQuantile,
  type Selection,
  type SlotMode,
  type SlotTimes,
  type StoredArm,
  simulateSlots,
  textEmbedding,
  withRolloutBandits,
} from "./schedule/index.ts";
export { type SelectorPpoSettings, selectorPpo, selectorPpoCard } from "./selector-ppo.ts";
export { type SemiOnlineSettings, semiOnline, semiOnlineCard } from "./semi-online.ts";
export { type SharedRolloutsSettings, sharedRollouts, sharedRolloutsCard } from "./shared-rollouts.ts";
export {
  type VisualWeightSettings,
  type VisualWeights,
  visualAdvantages,
  visualSequenceWeights,
  visualWeights,
  visualWeightsCard,
} from "./visual-weights.ts";
export { type EntropyShapingSettings, entropyShaping, entropyShapingCard } from "./weight/entropy-shaping.ts";
export { type FocalWeightSettings, focalWeight, focalWeightCard } from "./weight/focal.ts";
export { type KlInRewardSettings, klInReward, klInRewardCard } from "./weight/kl-in-reward.ts";
export { type WhitenedSettings, whitened, whitenedCard } from "./weight/whitened.ts";
export { type BatchScope, type WhitenSettings, whiten } from "./whiten.ts";
