/**
 * @file Sequences that share prefixes, as one trie of token positions, laid out depth first.
 *
 * A position predicts at most one target, so that the positions that predict something are all different and the
 * backward pass gathers instead of scattering with duplicates. Where several targets follow one prefix, its last
 * token is repeated once per further target: the copies see what the original sees, and nothing sees them.
 */

import type { TrainingSequence } from "../../policy.ts";

/** Number of tokens that a sequence feeds to the model: all before the last scored one, on which nothing depends. */
export function inputLength({ mask }: TrainingSequence): number {
  return Math.max(0, mask.lastIndexOf(1));
}

const none = -1;

export class PrefixTrie {
  /** Of each node: its token, depth, and the target that it predicts (−1: none) with 1 / temperature. */
  readonly tokens: number[] = [];
  readonly depths: number[] = [];
  readonly targets: number[] = [];
  readonly inverseTemperatures: number[] = [];
  /** Per inserted sequence, the node that predicts each of its scored tokens. */
  readonly scored: Int32Array[] = [];
  readonly #parents: number[] = [];
  readonly #firstChild: number[] = [];
  readonly #nextSibling: number[] = [];
  /** The next copy of the same position with another target. */
  readonly #nextCopy: number[] = [];
  #firstRoot = none;

  /** Number of positions, copies included. */
  get size(): number {
    return this.tokens.length;
  }

  insert(sequence: TrainingSequence): void {
    const { tokens, mask } = sequence;
    const inverseTemperature = Math.fround(1 / (sequence.temperature ?? 1));
    const length = inputLength(sequence);
    const nodes: number[] = [];
    let parent = none;
    for (let i = 0; i < length; i++) {
      const node = this.#child(parent, tokens[i]!, i);
      if (mask[i + 1] === 1) nodes.push(this.#claim(node, tokens[i + 1]!, inverseTemperature));
      parent = node;
    }
    this.scored.push(Int32Array.from(nodes));
  }

  /**
   * Depth-first order: each node's column and the column after the last of its subtree. A parent is always made
   * before its children, so two sweeps over the nodes do it, however deep the trie is.
   */
  layout(): { readonly columns: Int32Array; readonly ends: Int32Array } {
    const size = this.size;
    const subtree = new Int32Array(size).fill(1);
    for (let node = size - 1; node >= 0; node--) {
      const parent = this.#parents[node]!;
      if (parent !== none) subtree[parent]! += subtree[node]!;
    }
    const columns = new Int32Array(size);
    const ends = new Int32Array(size);
    const free = new Int32Array(size);
    let freeRoot = 0;
    for (let node = 0; node < size; node++) {
      const parent = this.#parents[node]!;
      const column = parent === none ? freeRoot : free[parent]!;
      const end = column + subtree[node]!;
      if (parent === none) freeRoot = end;
      else free[parent] = end;
      columns[node] = column;
      ends[node] = end;
      free[node] = column + 1;
    }
    return { columns, ends };
  }

  #child(parent: number, token: number, depth: number): number {
    let node = parent === none ? this.#firstRoot : this.#firstChild[parent]!;
    while (node !== none && this.tokens[node] !== token) node = this.#nextSibling[node]!;
    if (node !== none) return node;
    node = this.#add(parent, token, depth);
    if (parent === none) {
      this.#nextSibling[node] = this.#firstRoot;
      this.#firstRoot = node;
    } else {
      this.#nextSibling[node] = this.#firstChild[parent]!;
      this.#firstChild[parent] = node;
    }
    return node;
  }

  /** The copy of `node` that predicts this target; made if no copy does or is free to. */
  #claim(node: number, target: number, inverseTemperature: number): number {
    let copy = node;
    for (;;) {
      if (this.targets[copy] === none) {
        this.targets[copy] = target;
        this.inverseTemperatures[copy] = inverseTemperature;
        return copy;
      }
      if (this.targets[copy] === target && this.inverseTemperatures[copy] === inverseTemperature) return copy;
      const next = this.#nextCopy[copy]!;
      if (next === none) break;
      copy = next;
    }
    const added = this.#add(this.#parents[node]!, this.tokens[node]!, this.depths[node]!);
    this.targets[added] = target;
    this.inverseTemperatures[added] = inverseTemperature;
    this.#nextCopy[copy] = added;
    return added;
  }

  #add(parent: number, token: number, depth: number): number {
    this.#parents.push(parent);
    this.depths.push(depth);
    this.targets.push(none);
    this.inverseTemperatures.push(1);
    this.#firstChild.push(none);
    this.#nextSibling.push(none);
    this.#nextCopy.push(none);
    return this.tokens.push(token) - 1;
  }
}
