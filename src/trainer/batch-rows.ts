/**
 * @file Rows of training data: the calls of one policy as sequences, cut into minibatches and microbatches. Rows with the
 * same link are never cut apart.
 */

import type { TrainingSequence } from "../engine/policy.ts";
import type { BatchCall } from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { isFiltered, trainingSequence } from "../workflow/trajectory.ts";
import type { CreditedCall } from "./credit-groups.ts";

/** One call as a row. Arrays are filled in before the update and stay as they are. */
export interface Row {
  readonly sequence: TrainingSequence;
  /** Sampled tokens. */
  readonly scored: number;
  readonly source: CreditedCall;
  /**
   * The recorded log-probs are those of another distribution than the one that is trained: filters such as top-k, or the
   * weights of an earlier step.
   */
  readonly filtered: boolean;
  /** A text that was given, and not sampled: it is no witness of the sampler. */
  readonly given: boolean;
  /** Sampled by the weights that the update begins with. */
  readonly fresh: boolean;
  /** [scored] by the weights before the update, where a pass was made to know them. */
  proximal?: Float32Array;
  /** [scored] ℓ_ref */
  reference?: Float32Array;
  /** [scored] H before the update. */
  entropies?: Float32Array;
  /** [scored × heads] v_old */
  values?: Float32Array;
  /** [scored] A */
  advantages: Float32Array;
  /** [scored × heads] what v learns. */
  returns?: Float32Array;
  /** Its place in the policy's batch. */
  place: number;
}

/** `version`: of the policy before its update. */
export function rowOf(source: CreditedCall, version: number): Row {
  const { call, advantage, given } = source;
  return {
    sequence: trainingSequence(call),
    scored: call.output.length,
    source,
    filtered: source.recalled === true || isFiltered(call.sampling) || given === "without log-probs",
    given: given !== undefined,
    fresh: given === undefined && call.version === version,
    advantages: new Float32Array(call.output.length).fill(advantage),
    place: -1,
  };
}

/** A row as the method sees it. */
export function batchCall(row: Row): BatchCall {
  const { source, scored, values, entropies, reference, proximal, filtered, given } = row;
  const { call, trajectory, advantage, told } = source;
  const oldLogprobs = filtered ? proximal : call.logprobs;
  const { agent, occurrence, scope, issued, policy } = call;
  return {
    episode: trajectory.id,
    agent,
    occurrence,
    scope,
    order: issued,
    length: scored,
    credit: advantage,
    policy,
    ...(given ? { given } : {}),
    ...(told === undefined
      ? {}
      : {
          task: told.task,
          dataset: told.dataset,
          ...(told.rewarded.terms && { terms: told.rewarded.terms }),
        }),
    ...(values === undefined ? {} : { values }),
    ...(entropies === undefined ? {} : { entropies }),
    ...(oldLogprobs === undefined ? {} : { oldLogprobs }),
    ...(reference === undefined ? {} : { referenceLogprobs: reference }),
  };
}

/** Rows with equal beginnings side by side: engines that pack prefixes find them in one microbatch. */
export function byPrompt(left: Row, right: Row): number {
  const a = left.sequence.tokens;
  const b = right.sequence.tokens;
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** Rows that are seen together: those of one link, at the place of the first; every other row alone. */
function units<R extends { readonly source?: Pick<CreditedCall, "link"> }>(rows: readonly R[]): R[][] {
  const linked = new Map<string, R[]>();
  const found: R[][] = [];
  for (const row of rows) {
    const link = row.source?.link;
    const known = link === undefined ? undefined : linked.get(link);
    if (known !== undefined) {
      known.push(row);
      continue;
    }
    const unit = [row];
    if (link !== undefined) linked.set(link, unit);
    found.push(unit);
  }
  return found;
}

/** The rows that have something to teach: those with an advantage, and those linked to one. */
export function withAdvantage(rows: readonly Row[]): readonly Row[] {
  return units(rows)
    .filter((unit) => unit.some(({ advantages }) => advantages.some((advantage) => advantage !== 0)))
    .flat();
}

export function* microbatches<
  R extends { readonly sequence: TrainingSequence; readonly source?: Pick<CreditedCall, "link"> },
>(rows: readonly R[], tokens: number): Generator<readonly R[]> {
  let batch: R[] = [];
  let held = 0;
  for (const unit of units(rows)) {
    const length = unit.reduce((sum, { sequence }) => sum + sequence.tokens.length, 0);
    if (batch.length > 0 && held + length > tokens) {
      yield batch;
      batch = [];
      held = 0;
    }
    batch.push(...unit);
    held += length;
  }
  if (batch.length > 0) yield batch;
}

/**
 * The rows in `count` parts whose sizes differ by one at most (by one link's rows), drawn anew each epoch. Texts that were
 * given come after what was sampled (HACPO: own episodes first); one that is linked to a sampled call goes with it.
 */
export function minibatches(
  rows: readonly Row[],
  count: number,
  key: readonly (number | string)[],
): (readonly Row[])[] {
  if (count === 1) return [rows];
  const all = units(rows);
  const isGiven = (unit: readonly Row[]) => unit.every((row) => row.given);
  const shuffled = [
    ...stream(...key).shuffled(all.filter((unit) => !isGiven(unit))),
    ...stream(...key, "given").shuffled(all.filter(isGiven)),
  ];
  const { length } = shuffled;
  return Array.from({ length: count }, (_, part) =>
    shuffled
      .slice(Math.floor((part * length) / count), Math.floor(((part + 1) * length) / count))
      .flat()
      .sort(byPrompt),
  ).filter((part) => part.length > 0);
}

/** [rows] equal numbers for rows of one link, −1 for a row alone; undefined if all are. */
export function linksOf(rows: readonly Row[]): readonly number[] | undefined {
  if (rows.every(({ source }) => source.link === undefined)) return undefined;
  const numbers = new Map<string, number>();
  return rows.map(({ source: { link } }) => {
    if (link === undefined) return -1;
    const number = numbers.get(link) ?? numbers.size;
    numbers.set(link, number);
    return number;
  });
}

/** [S × width] an array of each row, one after the other; `width` numbers a token. */
export function joined(rows: readonly Row[], of: (row: Row) => Float32Array, width = 1): Float32Array {
  const all = new Float32Array(width * rows.reduce((sum, { scored }) => sum + scored, 0));
  let at = 0;
  for (const row of rows) {
    all.set(of(row), at);
    at += row.scored * width;
  }
  return all;
}

/** Calls `take` with each row's part of an array that is flat over the rows. */
export function divided(
  rows: readonly Row[],
  flat: Float32Array,
  take: (row: Row, part: Float32Array) => void,
  width = 1,
): void {
  let at = 0;
  for (const row of rows) {
    const end = at + row.scored * width;
    take(row, flat.subarray(at, end));
    at = end;
  }
}
