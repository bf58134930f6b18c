/** @file Public surface of `troupe/rewards`. */

export { type AnchorVerdict, anchoredScore, anchorWeight } from "./anchored.ts";
export { type ApplyOptions, applyRewards, type EpisodeGroup } from "./apply.ts";
export type { JudgeSettings } from "./ask.ts";
export { type DynamicWeightsOptions, dynamicWeights, dynamicWeightsCard } from "./dynamic-weights.ts";
export {
  type EffectiveActionsOptions,
  effectiveActions,
  effectiveActionsCard,
  effectiveShare,
} from "./effective-actions.ts";
export { type Constraint, feasibilityCard, infeasible } from "./feasibility.ts";
export { type GainOptions, gainRewards } from "./gain-rewards.ts";
export { allEqualToZero, type Condition, gate } from "./gate.ts";
export {
  gatedAccumulation,
  gatedAccumulationCard,
  gatedSum,
  type RewardLevel,
} from "./gated-accumulation.ts";
export { groupJudgeCard, groupJudgeReward, type JudgeTrainingOptions, judgeTraining } from "./group-judge.ts";
export {
  type ConsistencyOptions,
  informationConsistency,
  informationConsistencyCard,
  informationConsistent,
  wordEntropy,
} from "./information-consistency.ts";
export {
  type Gain,
  type GainFacts,
  type GainNumbers,
  type GainQuestion,
  gainOf,
  type InformationGainOptions,
  informationGain,
  informationGainCard,
  type TextSimilarity,
} from "./information-gain.ts";
export { type CallJudgeOptions, callJudge, type JudgeOptions, judge, readScore } from "./judge.ts";
export { leafF1 } from "./leaf-f1.ts";
export { type LearningSpeedOptions, learningSpeedWeights, slopeOf } from "./learning-speed.ts";
export { lengthBonus, lengthBonusCard, shorterIsBetter, thoughtLength } from "./length-bonus.ts";
export { envelope, type LengthBounds, lengthEnvelope, lengthEnvelopeCard } from "./length-envelope.ts";
export {
  checkScorers,
  logSoftmax,
  OptionScoreError,
  OptionScorer,
  type OptionScorerSettings,
  type ScoringTerm,
} from "./option-scores.ts";
export {
  type PercentileOptions,
  type PercentileRewardOptions,
  type Percentiles,
  percentileReward,
  percentileRewardCard,
  percentileScore,
  percentilesOf,
} from "./percentile-reward.ts";
export { type CutoffOptions, jensenShannon, ndcg, recallAt } from "./ranking-metrics.ts";
export {
  dominance,
  type EntropyProfile,
  entropyProfile,
  type RankFailedOptions,
  type RankingOptions,
  rankFailed,
  rankingReward,
  rankingRewardCard,
} from "./ranking-reward.ts";
export {
  type Candidate,
  listed,
  type PairwiseJudgeOptions,
  pairwiseJudge,
  type RelativeJudgeOptions,
  readPreference,
  readRanking,
  relativeJudge,
  shareBeaten,
} from "./relative-judge.ts";
export {
  goldScores,
  type RankingAnswer,
  type RerankGold,
  type RerankOptions,
  readRerank,
  reranking,
  rerankReward,
  rerankRewardCard,
} from "./rerank-reward.ts";
export {
  type FinishedEpisode,
  type Json,
  needsOf,
  type RewardContext,
  RewardDefinitionError,
  type RewardFunction,
  type RewardNeeds,
  type RewardTerm,
  type ScoredEpisode,
  usageOf,
} from "./reward.ts";
export { type CostDiscountOptions, clip, costDiscount } from "./scale.ts";
export { readScoredRanking } from "./scored-ranking.ts";
export { sideBySide } from "./side-by-side.ts";
export { type RewardStage, type StageEnd, stages } from "./stages.ts";
export {
  type ActionMatch,
  actionMatch,
  type StepOutcome,
  type StepWeights,
  stepReward,
  stepRewardCard,
  stepRewards,
} from "./step-reward.ts";
export {
  type StructuredOptions,
  type StructureParts,
  type StructureRules,
  structured,
  structureParts,
  structureReward,
  structureRewardCard,
} from "./structure-reward.ts";
export { named, sum, type TermOrFunction, type WeightedTerms } from "./sum.ts";
export { agentReward, callRewards, groupReward, reward } from "./terms.ts";
export { exactMatch, normaliseAnswer, tokenF1 } from "./text-match.ts";
export {
  multisetJaccard,
  type ToolMatchOptions,
  toolCorrectness,
  toolMatch,
  toolMatchCard,
} from "./tool-match.ts";
export { annealedCap, type TurnCap, turnCap, turnCapCard } from "./turn-cap.ts";
export {
  type AskTurn,
  askRewards,
  type CodeTurn,
  codeRewards,
  type FormatOutcome,
  gains,
  sharedOutcome,
  type TurnReward,
} from "./turns.ts";
export {
  callCount,
  type DecayOptions,
  decay,
  decayed,
  type FormatOptions,
  format,
  type OverlongOptions,
  outputTokens,
  overlong,
  overlongPenalty,
  parsed,
  tokenShare,
  toolUses,
} from "./usage.ts";
export { JudgeError, VerdictCache, type VerdictCacheOptions, verdictSchema } from "./verdict-cache.ts";
