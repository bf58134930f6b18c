/** @file Rows of training data: the calls of one policy as sequences, cut into minibatches and microbatches. */

import type { TrainingSequence } from "../engine/policy.ts";
import type { BatchCall } from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { isFiltered, trainingSequence } from "../workflow/trajectory.ts";
import type { CreditedCall } from "./groups.ts";

/** One call as a row. Arrays are filled in before the update and stay as they are. */
export interface Row {
  readonly sequence: TrainingSequence;
  /** Sampled tokens. */
  readonly scored: number;
  readonly source: CreditedCall;
  /** The recorded log-probs are those of another distribution than the one that is trained (top-k and so on). */
  readonly filtered: boolean;
  /** Sampled by the weights that the update begins with. */
  readonly fresh: boolean;
  /** [scored] by the weights before the update, where a pass was made to know them. */
  proximal?: Float32Array;
  /** [scored] ℓ_ref */
  reference?: Float32Array;
  /** [scored] v_old */
  values?: Float32Array;
  /** [scored] A */
  advantages: Float32Array;
  /** [scored] what v learns. */
  returns?: Float32Array;
}

/** `version`: of the policy before its update. */
export function rowOf(source: CreditedCall, version: number): Row {
  const { call, advantage } = source;
  return {
    sequence: trainingSequence(call),
    scored: call.output.length,
    source,
    filtered: isFiltered(call.sampling),
    fresh: call.version === version,
    advantages: new Float32Array(call.output.length).fill(advantage),
  };
}

/** A row as the method sees it. */
export function batchCall(row: Row): BatchCall {
  const { source, scored, values, reference, proximal, filtered } = row;
  const { call, trajectory, advantage } = source;
  const { agent, occurrence, scope, issued } = call;
  return {
    episode: trajectory.id,
    agent,
    occurrence,
    scope,
    order: issued,
    length: scored,
    credit: advantage,
    ...(values === undefined ? {} : { values }),
    ...(reference === undefined
      ? {}
      : { oldLogprobs: filtered ? proximal! : call.logprobs, referenceLogprobs: reference }),
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

export function* microbatches<R extends { readonly sequence: TrainingSequence }>(
  rows: readonly R[],
  tokens: number,
): Generator<readonly R[]> {
  let batch: R[] = [];
  let held = 0;
  for (const row of rows) {
    const { length } = row.sequence.tokens;
    if (batch.length > 0 && held + length > tokens) {
      yield batch;
      batch = [];
      held = 0;
    }
    batch.push(row);
    held += length;
  }
  if (batch.length > 0) yield batch;
}

/** The rows in `count` parts whose sizes differ by one at most, drawn anew each epoch. */
export function minibatches(
  rows: readonly Row[],
  count: number,
  key: readonly (number | string)[],
): (readonly Row[])[] {
  if (count === 1) return [rows];
  const shuffled = stream(...key).shuffled(rows);
  return Array.from({ length: count }, (_, part) =>
    shuffled
      .slice(Math.floor((part * rows.length) / count), Math.floor(((part + 1) * rows.length) / count))
      .sort(byPrompt),
  ).filter((part) => part.length > 0);
}

/** [S] an array of each row, one after the other. */
export function joined(rows: readonly Row[], of: (row: Row) => Float32Array): Float32Array {
  const all = new Float32Array(rows.reduce((sum, { scored }) => sum + scored, 0));
  let at = 0;
  for (const row of rows) {
    all.set(of(row), at);
    at += row.scored;
  }
  return all;
}

/** Calls `take` with each row's part of an array that is flat over the rows. */
export function divided(
  rows: readonly Row[],
  flat: Float32Array,
  take: (row: Row, part: Float32Array) => void,
): void {
  let at = 0;
  for (const row of rows) {
    take(row, flat.subarray(at, at + row.scored));
    at += row.scored;
  }
}
