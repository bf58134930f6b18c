/**
 * @file A method from parts. The slots are the order in which parts run; combinations that make no sense do not compile,
 * and are refused in words where types were not looked at.
 *
 *   L = kernel(ℓ, ℓ_old, token weights(sequence weight · advantage)) + Σ regularisers
 */

import { groupAdvantage } from "./advantage/group.ts";
import { combinationFault, type Refused } from "./combination.ts";
import { broadcast } from "./credit/broadcast.ts";
import { MethodSettingsError, wrongSetting } from "./errors.ts";
import {
  addStatistics,
  type BatchCall,
  type BatchEstimates,
  type GroupCredit,
  type LossInput,
  type LossOutput,
  type Method,
  type MethodNeeds,
  type RewardedGroup,
  type StepFacts,
} from "./method.ts";
import type {
  AdvantagePart,
  CreditAssigner,
  LossKernel,
  PartNeeds,
  Regulariser,
  Remembering,
  SamplerPart,
  SequenceWeight,
  TokenWeight,
} from "./parts.ts";
import { fixedGroups } from "./sampler/fixed.ts";

/** The slots, in the order in which they run. */
export interface MethodParts {
  /** In the run's record. Default: "composed". */
  readonly name?: string;
  /** Default: `fixedGroups(8)`. */
  readonly sampler?: SamplerPart;
  /** Default: `broadcast()`, each call is worth what it was rewarded with. */
  readonly credit?: CreditAssigner;
  /** Default: `groupAdvantage()`. */
  readonly advantage?: AdvantagePart;
  readonly sequenceWeights?: readonly SequenceWeight[];
  readonly tokenWeights?: readonly TokenWeight[];
  readonly loss: LossKernel;
  readonly regularisers?: readonly Regulariser[];
  /** Times the batch is gone through. Default 1. */
  readonly epochs?: number;
  /** Optimiser steps an epoch. Default 1. */
  readonly minibatches?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_COMBINATION
 * @example
 * // Focal weights on DAPO's clipping with normalisation by what is remembered of the task's kind.
 * compose({
 *   advantage: emaAdvantage(),
 *   sequenceWeights: [focalWeight({ gamma: 0.5 })],
 *   loss: clipped({ clipHigh: 0.28 }),
 * });
 */
export function compose<const Parts extends MethodParts>(parts: Parts & Refused<Parts>): Method {
  const {
    name = "composed",
    sampler = fixedGroups(8),
    credit: assigner = broadcast(),
    advantage = groupAdvantage(),
    sequenceWeights = [],
    tokenWeights = [],
    loss: kernel,
    regularisers = [],
    epochs = 1,
    minibatches = 1,
  }: MethodParts = parts;
  const fault = combinationFault({ sampler, credit: assigner, advantage, tokenWeights, loss: kernel });
  if (fault !== undefined) {
    throw new MethodSettingsError({
      code: "E_METHOD_COMBINATION",
      message: `Method "${name}" cannot be composed so: ${fault.says}`,
      hint: fault.hint,
      facts: { method: name },
    });
  }
  for (const [setting, value] of Object.entries({ epochs, minibatches })) {
    if (!Number.isInteger(value) || value < 1)
      throw wrongSetting(name, setting, value, "an integer of at least 1");
  }
  const needing = [advantage, ...tokenWeights, kernel, ...regularisers];
  const needs = sumOfNeeds(needing.map((part) => part.needs ?? {}));
  const all = [sampler, assigner, advantage, ...sequenceWeights, ...tokenWeights, kernel, ...regularisers];
  const creditAll = (groups: readonly RewardedGroup[]) =>
    creditGroups(groups, assigner, advantage, sequenceWeights);
  const estimate = (batch: readonly BatchCall[]): BatchEstimates => {
    const first = advantage.perToken?.(batch) ?? { advantages: batch.map(constant) };
    const advantages = tokenWeights.reduce((now, weight) => weight.apply(now, batch), first.advantages);
    return { ...first, advantages };
  };
  return Object.freeze({
    name,
    groupSize: sampler.groupSize,
    settings: Object.freeze(settingsOf(all, { epochs, minibatches })),
    needs: sampler.passive === true && sampler.samples === "tree" ? { ...needs, trees: true } : needs,
    updates: { epochs, minibatches },
    ...(sampler.passive === true ? {} : { sampler }),
    ...memoryOf(all),
    credit: (group) => creditAll([{ task: "", dataset: "", episodes: group }])[0]!,
    creditAll,
    ...(advantage.perToken === undefined && tokenWeights.length === 0 ? {} : { estimate }),
    ...(advantage.taskWeights === undefined ? {} : { taskWeights: advantage.taskWeights }),
    ...(regularisers.some(({ prepare }) => prepare !== undefined)
      ? { prepare: (batch: readonly BatchCall[]) => regularisers.map((part) => part.prepare?.(batch)) }
      : {}),
    loss: (input) => lossOf(input, kernel, regularisers),
  } satisfies Method);
}

const constant = ({ credit, length }: BatchCall) => new Float32Array(length).fill(credit);

function creditGroups(
  groups: readonly RewardedGroup[],
  assigner: CreditAssigner,
  advantage: AdvantagePart,
  weights: readonly SequenceWeight[],
): readonly GroupCredit[] {
  const judged = groups.map((group) => ({ group, ...assigner.assign(group) }));
  const given = advantage.advantages(judged);
  return given.map((credit, k): GroupCredit => {
    const factors = weights.map((weight) => weight.weights(judged[k]!));
    const advantages = credit.advantages.map((row, i) =>
      row.map((value, j) => factors.reduce((product, factor) => product * factor[i]![j]!, value)),
    );
    const trained = both(credit.trained, judged[k]!.trained);
    return {
      advantages,
      hasSignal: credit.hasSignal,
      ...(trained === undefined ? {} : { trained }),
      ...(credit.links === undefined ? {} : { links: credit.links }),
      ...(credit.given === undefined ? {} : { given: credit.given }),
    };
  });
}

function both(
  left: readonly Uint8Array[] | undefined,
  right: readonly Uint8Array[] | undefined,
): readonly Uint8Array[] | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left.map((row, i) => row.map((value, j) => value & right[i]![j]!));
}

function sumOfNeeds(all: readonly PartNeeds[]): MethodNeeds {
  const any = (name: keyof PartNeeds) => all.some((needs) => needs[name] !== undefined);
  const values = Math.max(0, ...all.map((needs) => needs.values ?? 0));
  return {
    reference: any("reference") || any("referenceInEstimate"),
    entropy: any("entropy"),
    tokensWithoutAdvantage: any("tokensWithoutAdvantage"),
    ...(any("referenceInEstimate") ? { referenceInEstimate: true } : {}),
    ...(any("entropyInEstimate") ? { entropyInEstimate: true } : {}),
    ...(values === 0 ? {} : { values: values === 1 ? true : values }),
  };
}

function lossOf(input: LossInput, kernel: LossKernel, regularisers: readonly Regulariser[]): LossOutput {
  const first = kernel.loss(input);
  if (regularisers.length === 0) return first;
  const prepared = input.prepared as readonly unknown[] | undefined;
  let { loss, statistics } = first;
  const gradients = { ...first.gradients };
  regularisers.forEach((part, i) => {
    const more = part.loss({ ...input, prepared: prepared?.[i] });
    loss += more.loss;
    gradients.logprobs = added(gradients.logprobs, more.gradients.logprobs)!;
    const entropies = added(gradients.entropies, more.gradients.entropies);
    if (entropies !== undefined) gradients.entropies = entropies;
    const values = added(gradients.values, more.gradients.values);
    if (values !== undefined) gradients.values = values;
    // Means are per token of the batch: its tokens are counted once.
    statistics = { ...addStatistics(statistics, more.statistics), tokens: first.statistics.tokens };
  });
  return { loss, gradients, statistics };
}

/** Adds to `left` in place: it is this pass's own. */
function added(left: Float32Array | undefined, right: Float32Array | undefined): Float32Array | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  for (let i = 0; i < left.length; i++) left[i]! += right[i]!;
  return left;
}

type AnyPart = Remembering & {
  readonly stage: string;
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
};

/** By "stage/name", a second part of one name in one stage as "stage/name#2". */
function keyed(parts: readonly AnyPart[]): Map<string, AnyPart> {
  const found = new Map<string, AnyPart>();
  for (const part of parts) {
    let key = `${part.stage}/${part.name}`;
    for (let n = 2; found.has(key); n++) key = `${part.stage}/${part.name}#${n}`;
    found.set(key, part);
  }
  return found;
}

function settingsOf(parts: readonly AnyPart[], own: Record<string, unknown>): Record<string, unknown> {
  return {
    ...own,
    ...Object.fromEntries([...keyed(parts)].map(([key, { settings }]) => [key, settings])),
  };
}

/** `state`, `restore`, `observe` and `metrics` of those parts that have them. */
function memoryOf(parts: readonly AnyPart[]): Remembering {
  const stateful = [...keyed(parts)].filter(([, part]) => part.state !== undefined);
  const observing = parts.filter((part) => part.observe !== undefined);
  const measured = parts.filter((part) => part.metrics !== undefined);
  return {
    ...(stateful.length === 0
      ? {}
      : {
          state: () => Object.fromEntries(stateful.map(([key, part]) => [key, part.state!()])),
          restore: (state: unknown) => {
            for (const [key, part] of stateful) {
              if (typeof state !== "object" || state === null || !Object.hasOwn(state, key)) {
                throw new MethodSettingsError({
                  code: "E_METHOD_STATE",
                  message: `The checkpoint has nothing that part "${key}" remembered.`,
                  hint: "it is of a run with another method; begin anew with --fresh.",
                });
              }
              part.restore?.((state as Record<string, unknown>)[key]);
            }
          },
        }),
    ...(observing.length === 0
      ? {}
      : {
          observe: (facts: StepFacts) => {
            for (const part of observing) part.observe!(facts);
          },
        }),
    ...(measured.length === 0
      ? {}
      : { metrics: () => Object.assign({}, ...measured.map((part) => part.metrics!())) }),
  };
}
