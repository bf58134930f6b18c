/**
 * @file Values of inner nodes from the outcomes below them. Leaf mean: C-3PO (arXiv 2502.06205) and TreeMem (2605.04811),
 * whose controlled comparison had it ahead of broadcast and of hand-made local rewards. Child mean: TreeRPO (2506.05183).
 */

/** A tree in columns: parents are smaller than their children, −1 = root. */
export interface OutcomeTree {
  /** [n] */
  readonly parents: readonly number[];
  /** [n] values of what ends at each node: one at a leaf, mostly none elsewhere. */
  readonly outcomes: readonly (readonly number[])[];
}

export interface TreeValues {
  /** [n] */
  readonly values: readonly number[];
  /** Of the root; NaN for a tree without outcomes. */
  readonly root: number;
}

/** V(v) = mean over all outcomes at or below v. */
export function leafMeans({ parents, outcomes }: OutcomeTree): TreeValues {
  const sums = new Float64Array(parents.length + 1);
  const counts = new Int32Array(parents.length + 1);
  for (let node = parents.length - 1; node >= 0; node--) {
    for (const outcome of outcomes[node]!) {
      sums[node + 1]! += outcome;
      counts[node + 1]! += 1;
    }
    const above = parents[node]! + 1;
    sums[above]! += sums[node + 1]!;
    counts[above]! += counts[node + 1]!;
  }
  const means = Array.from(sums, (sum, i) => sum / counts[i]!);
  return { values: means.slice(1), root: means[0]! };
}

/** V(v) = mean over its children's V, and over outcomes that end at v itself. */
export function childMeans({ parents, outcomes }: OutcomeTree): TreeValues {
  const sums = new Float64Array(parents.length + 1);
  const counts = new Int32Array(parents.length + 1);
  const values = new Array<number>(parents.length);
  for (let node = parents.length - 1; node >= 0; node--) {
    for (const outcome of outcomes[node]!) {
      sums[node + 1]! += outcome;
      counts[node + 1]! += 1;
    }
    const value = sums[node + 1]! / counts[node + 1]!;
    values[node] = value;
    const above = parents[node]! + 1;
    sums[above]! += value;
    counts[above]! += 1;
  }
  return { values, root: sums[0]! / counts[0]! };
}
