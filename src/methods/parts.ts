/**
 * @file The parts that methods are composed of, in the order in which they run (DESIGN §3):
 *
 *   sampler → credit assigner → advantage → sequence weights → token weights → loss kernel → regularisers
 *
 * Rewards come before all of them and are a run's own (`troupe/rewards`). A part is plain data with functions; each kind
 * has a `stage` of its own, so that a part fits one slot only, and literal traits that `compose` checks against each
 * other, when it compiles and when it runs. Parts keep what they learn in `state`, and learn in `observe` alone.
 *
 * Symbols: G episodes of a group; S scored tokens of a microbatch.
 */

import type {
  BatchCall,
  BatchEstimates,
  GivenText,
  GroupSampler,
  LossInput,
  LossOutput,
  RewardedGroup,
  StepFacts,
} from "./method.ts";

/** What a part has learned between steps, as JSON. */
export interface Remembering {
  state?(): unknown;
  restore?(state: unknown): void;
  /** Once a step, after the updates. */
  observe?(facts: StepFacts): void;
  /** Of what it has learned: the numbers worth a line in the step's metrics, finite, by name. Asked after `observe`. */
  metrics?(): Readonly<Record<string, number>>;
}

interface Part extends Remembering {
  readonly name: string;
  /** For the run's record. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What a part asks for, besides ℓ and A. */
export interface PartNeeds {
  readonly reference?: true;
  readonly referenceInEstimate?: true;
  readonly entropy?: true;
  readonly entropyInEstimate?: true;
  readonly tokensWithoutAdvantage?: true;
  /** Value heads. */
  readonly values?: number;
}

export interface SamplerPart extends Part, GroupSampler {
  readonly stage: "sampler";
  /** "group": several episodes a task; "single": one; "tree": episodes that branch. */
  readonly samples: "group" | "single" | "tree";
  /** It says how groups are made and asks for nothing itself, so the trainer need not know of it. Default false. */
  readonly passive?: boolean;
}

/** What the calls of a group are judged by. */
export interface JudgedGroup {
  readonly group: RewardedGroup;
  /** [G][calls] what each call is worth. */
  readonly values: readonly Float64Array[];
  /** [G][calls] calls with the same text share a baseline. Default: all calls of the group do. */
  readonly compared?: readonly (readonly string[])[];
  /** [G][calls] 0 = not in the batch. Default: all are. */
  readonly trained?: readonly Uint8Array[];
}

/** From the rewards of a team to what each call is judged by. Pure. */
export interface CreditAssigner extends Part {
  readonly stage: "credit";
  /** "tree": it says more than broadcast only where episodes branch. */
  readonly wants?: "tree";
  assign(group: RewardedGroup): Omit<JudgedGroup, "group">;
}

/** Advantages of one group, [G][calls]. */
export interface GroupAdvantages {
  readonly advantages: readonly Float64Array[];
  readonly hasSignal: boolean;
  /** [G][calls] 0 = not in the batch. Default: as the credit assigner says. */
  readonly trained?: readonly Uint8Array[];
  /** [G][calls] as in `GroupCredit`. */
  readonly links?: readonly (readonly (string | undefined)[])[];
  /** Texts that are trained on besides what was sampled; no sequence weight is on them. */
  readonly given?: readonly GivenText[];
}

export interface AdvantagePart extends Part {
  readonly stage: "advantage";
  /** "episodes": with others of the group; "steps": with what it remembers, or with the rest of the batch; "values": with v. */
  readonly compares: "episodes" | "steps" | "values";
  /** "pairs": +1 for the chosen and −1 for the rejected call of each pair, linked. */
  readonly gives: "advantages" | "pairs";
  /** "episodes": one judgement for all calls of an episode (of an agent in it), whatever single calls are worth. Default "calls". */
  readonly judges?: "calls" | "episodes";
  readonly needs?: PartNeeds;
  /** Over all groups of a step: [groups]. Pure. */
  advantages(groups: readonly JudgedGroup[]): readonly GroupAdvantages[];
  /**
   * Per token over the whole batch of one policy, with `advantages` as `credit` of the calls. Default: the call's
   * advantage for each of its tokens. Pure.
   */
  perToken?(batch: readonly BatchCall[]): BatchEstimates;
  /** As `Method.taskWeights`. */
  taskWeights?(tasks: readonly string[]): ArrayLike<number>;
}

/** A factor on the advantages of whole calls. Pure. */
export interface SequenceWeight extends Part {
  readonly stage: "sequence weight";
  /** [G][calls] factors. */
  weights(judged: JudgedGroup): readonly Float64Array[];
}

/** Changes advantages token by token. Pure. */
export interface TokenWeight extends Part {
  readonly stage: "token weight";
  readonly needs?: PartNeeds;
  /** [calls][length] → [calls][length]; new arrays. */
  apply(advantages: readonly Float32Array[], batch: readonly BatchCall[]): readonly Float32Array[];
}

export interface LossKernel extends Part {
  readonly stage: "loss";
  readonly reads: "advantages" | "pairs";
  /** "sequence": all tokens of a sequence share one ratio, so they need one advantage. */
  readonly ratio: "token" | "sequence" | "none";
  readonly needs?: PartNeeds;
  loss(input: LossInput): LossOutput;
}

/** Added to the loss. */
export interface Regulariser extends Part {
  readonly stage: "regulariser";
  readonly needs?: PartNeeds;
  /** Over the whole batch of one policy; what it returns is `LossInput.prepared`. Pure. */
  prepare?(batch: readonly BatchCall[]): unknown;
  loss(input: LossInput): LossOutput;
}
