/** @file What methods are told of a step: the episodes of each task, with what each call was rewarded with. */

/** One model call of an episode, as credit sees it. */
export interface RewardedCall {
  readonly agent: string;
  /** Who answered. Default: unknown. */
  readonly policy?: string;
  /** The agent's how-manieth call in its scope: its turn. Default 0. */
  readonly occurrence?: number;
  /** Child workflow; "" or absent for the episode's own. */
  readonly scope?: string;
  /** Everything that this call is rewarded with. */
  readonly reward: number;
  /** The part of `reward` that only this call gets; the rest counts for other calls of the agent too. Default: all of it. */
  readonly own?: number;
  /** `reward` by the names of its terms. Default: unknown. */
  readonly terms?: Readonly<Record<string, number>>;
  /** Sampled tokens; a call with 0 is in no batch. Default: some. */
  readonly length?: number;
  /** Its place among all calls of the episode, in the order of issue. Default: its place in this list. */
  readonly id?: number;
  /**
   * Which sampling it is: calls of branched episodes that were sampled once and are shared have the same one. Default:
   * one of its own.
   */
  readonly node?: string;
  /** What it was asked, exactly: equal prompts have equal states. Default: unknown. */
  readonly state?: string;
  /** Cut by `maxTokens` or the context. Default false. */
  readonly truncated?: boolean;
  readonly text?: string;
  /** Mean log-prob of its sampled tokens under the weights that sampled them. Default: unknown. */
  readonly meanLogprob?: number;
  /** By a policy that is not trained: others may learn from it, and it is in no batch itself. Default false. */
  readonly frozen?: boolean;
}

export interface RewardedEpisode {
  /** Trajectory-level reward: the value of an episode without calls. */
  readonly reward: number;
  readonly calls: readonly RewardedCall[];
  readonly id?: string;
  /** `reward` by the names of its terms. Default: unknown. */
  readonly terms?: Readonly<Record<string, number>>;
  /** What the workflow returned. */
  readonly result?: unknown;
  /** From the store of earlier steps, and not sampled now. Default false. */
  readonly recalled?: boolean;
  /** Which of the run's teams sampled it, where a run has teams. */
  readonly team?: string;
  /**
   * Where the group is a search tree: the place in the group of the episode that it grew from, −1 for a child of the
   * root. It is smaller than its own place.
   */
  readonly parent?: number;
}

/** Episodes of one task that are compared with each other. */
export interface RewardedGroup {
  /** The same for the same task in every step. */
  readonly task: string;
  /** What kind of task: the task's own `dataset` field, where it has one that is a string; else "". */
  readonly dataset: string;
  /** Its task shows an earlier episode of another one (`reflect`). Default false. */
  readonly reflection?: boolean;
  readonly episodes: readonly RewardedEpisode[];
}
