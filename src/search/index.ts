/** @file Public surface of `troupe/search`. */

export {
  type SiblingAdvantage,
  type SiblingAdvantages,
  siblingAdvantages,
} from "../methods/tree/sibling-advantage.ts";
export { type Standardisation, standardised, standardisedWithin } from "../methods/tree/standardise.ts";
export { type TreeAdvantage, treeAdvantages } from "../methods/tree/tree-advantage.ts";
export { type TreeGrpoAdvantage, treeGrpoAdvantages } from "../methods/tree/tree-grpo.ts";
export { childMeans, leafMeans, type OutcomeTree, type TreeValues } from "../methods/tree/tree-mean.ts";
export { shapedRewards, type TreeShaping } from "../methods/tree/tree-shaping.ts";
export { Gate } from "../workflow/gate.ts";
export {
  type AbMctsOptions,
  abMcts,
  depthPenalty,
  type GenWeight,
  type ParticipantAction,
  type ParticipantStrategy,
  type PendingTreatment,
} from "./ab-mcts.ts";
export { bestOfN } from "./best-of-n.ts";
export { type C3poAction, type C3poOptions, c3po, withoutProbe } from "./c3po.ts";
export {
  type Branching,
  type EpisodeExpansion,
  episodeText,
  episodeTurns,
  episodeValue,
  expandEpisodes,
  goOn,
  ownCalls,
  readTrajectoryJson,
  trajectoryJson,
} from "./episodes.ts";
export { type NodeFailure, SearchError } from "./errors.ts";
export {
  type EpisodeSearch,
  type EvaluateSearchOptions,
  evaluateSearch,
  type SearchEvaluation,
  type SearchMetric,
  type SearchMetricName,
  type TreeOutcome,
} from "./evaluate-search.ts";
export { type MarsSearch, type MarsSearchOptions, marsSearch } from "./mars2-search.ts";
export { type SearchScores, type SelectNode, searchScores, selectNode } from "./metrics.ts";
export type { Moments } from "./moments.ts";
export {
  type ChatTurns,
  chatTree,
  type MineOptions,
  minePairs,
  type OptimaOptions,
  optima,
  type TurnPair,
} from "./optima-pairs.ts";
export {
  type BetaPrior,
  beta,
  type GaussianPrior,
  gaussian,
  type Posterior,
} from "./posterior.ts";
export {
  type Choice,
  type Expand,
  type ExpandRequest,
  type Expansion,
  type SearchOptions,
  type SearchPlan,
  type Select,
  type SelectContext,
  search,
} from "./search.ts";
export { type TPlus, type TPlusOptions, tPlus } from "./t-plus.ts";
export {
  type CompleteNode,
  completeNodes,
  type FailedNode,
  type NodeOutcome,
  type PendingNode,
  root,
  type SearchNode,
  Tree,
  type TreeColumns,
  type TreeStatistics,
  type TreeView,
  treeOf,
  treeStatistics,
} from "./tree.ts";
export { keepLeaves, type TreeGrpoAction, type TreeGrpoOptions, treeGrpo } from "./tree-grpo.ts";
export { nodeLine, readTree, treeLines, treeSchema } from "./tree-lines.ts";
export { type BranchOptions, nextBranch, type TreeRpoOptions, treeRpo } from "./tree-rpo.ts";
export {
  type BranchAction,
  mergeSiblings,
  type Turn,
  type TurnTree,
  type TurnTreeOptions,
  turnTree,
} from "./turn-tree.ts";
