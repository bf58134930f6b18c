/**
 * @file Which sequences of a batch are packed into one trie. Sharing a prefix saves its tokens, but a trie is one
 * row, and attention costs the square of the row's width: eight long answers to one short prompt are cheaper apart.
 * Sequences are sorted, so that shared prefixes are intervals, and merged from the deepest shared prefix upwards
 * as long as the cost falls.
 */

import type { TrainingSequence } from "../../policy.ts";
import { inputLength } from "./prefix-trie.ts";

/** Relative costs of training: of a token, and of one pair of positions in a row's attention. */
export interface PackCosts {
  readonly token: number;
  readonly pair: number;
}

export const rowCost = ({ token, pair }: PackCosts, width: number): number => width * (token + pair * width);

interface Group {
  readonly members: readonly number[];
  /** Upper estimate of the trie's size. */
  readonly width: number;
}

/** Partitions `indices` into the sequences of one trie each, none wider than `maximumWidth` by merging. */
export function sharePrefixes(
  batch: readonly TrainingSequence[],
  indices: readonly number[],
  costs: PackCosts,
  maximumWidth: number,
): (readonly number[])[] {
  const order = indices.toSorted((a, b) => compare(batch[a]!, batch[b]!) || a - b);
  /** shared[k]: prefix that sequence k of the order can share with the one before. */
  const shared = Int32Array.from(order, (index, k) =>
    k === 0 ? 0 : sharedLength(batch[order[k - 1]!]!, batch[index]!),
  );

  const partition = (from: number, to: number): Group[] => {
    if (to - from === 1) {
      const index = order[from]!;
      return [{ members: [index], width: inputLength(batch[index]!) }];
    }
    let depth = Number.POSITIVE_INFINITY;
    for (let k = from + 1; k < to; k++) depth = Math.min(depth, shared[k]!);
    const groups: Group[] = [];
    let start = from;
    for (let k = from + 1; k <= to; k++) {
      if (k < to && shared[k] !== depth) continue;
      for (const group of partition(start, k)) {
        const last = groups.at(-1);
        const merged = last && merge(last, group, depth);
        if (merged) groups[groups.length - 1] = merged;
        else groups.push(group);
      }
      start = k;
    }
    return groups;
  };

  const merge = (a: Group, b: Group, depth: number): Group | null => {
    // One more position for the copy of the last shared token.
    const width = a.width + b.width - depth + 1;
    if (depth === 0 || width > maximumWidth) return null;
    if (rowCost(costs, width) >= rowCost(costs, a.width) + rowCost(costs, b.width)) return null;
    return { members: [...a.members, ...b.members], width };
  };

  return order.length === 0 ? [] : partition(0, order.length).map(({ members }) => members);
}

function compare(a: TrainingSequence, b: TrainingSequence): number {
  const [m, n] = [inputLength(a), inputLength(b)];
  for (let i = 0; i < m && i < n; i++) {
    const difference = a.tokens[i]! - b.tokens[i]!;
    if (difference !== 0) return difference;
  }
  return m - n;
}

/** Sequences of different temperature share no scored token, so nothing is saved from the first one on. */
function sharedLength(a: TrainingSequence, b: TrainingSequence): number {
  let limit = Math.min(inputLength(a), inputLength(b));
  if ((a.temperature ?? 1) !== (b.temperature ?? 1)) {
    limit = Math.min(limit, a.mask.indexOf(1), b.mask.indexOf(1));
  }
  let length = 0;
  while (length < limit && a.tokens[length] === b.tokens[length]) length++;
  return length;
}
