/** @file Thresholds of large lists in expected linear time: the k-th largest value, and the value at which mass p is reached. */

/**
 * Slack of a mass comparison, relative to the total: sums in different orders differ by rounding, and ten times 0.1
 * should reach 1.
 */
export const massSlack = 1e-9;

/** The k-th largest (k ≥ 1) of `values[0..count)`; reorders them. */
export function kthLargest(values: Float64Array, count: number, k: number): number {
  let low = 0;
  let high = count - 1;
  const target = k - 1;
  while (low < high) {
    const pivot = medianOfThree(values[low]!, values[(low + high) >>> 1]!, values[high]!);
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! > pivot) i++;
      while (values[j]! < pivot) j--;
      if (i <= j) swap(values, i++, j--);
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else return pivot;
  }
  return values[target]!;
}

export interface MassThreshold {
  /** Values above it are kept. */
  value: number;
  /** How many of the values equal to it are kept as well. */
  ties: number;
}

/**
 * The smallest set of largest values whose sum reaches `mass`, as a threshold. `values[0..count)` are ≥ 0 and are
 * reordered. If rounding keeps the whole sum below `mass`, all are kept.
 */
export function massThreshold(
  values: Float64Array,
  count: number,
  mass: number,
  result: MassThreshold,
): MassThreshold {
  let low = 0;
  let high = count;
  let above = 0;
  // Invariant: everything in [0, low) is above the answer's threshold and sums to `above` < mass.
  while (low < high) {
    const pivot = medianOfThree(values[low]!, values[(low + high) >>> 1]!, values[high - 1]!);
    let greater = low;
    let less = high;
    let sum = 0;
    for (let i = low; i < less; ) {
      const value = values[i]!;
      if (value > pivot) {
        sum += value;
        swap(values, i++, greater++);
      } else if (value < pivot) swap(values, i, --less);
      else i++;
    }
    if (above + sum >= mass) {
      high = greater;
      continue;
    }
    const ties = less - greater;
    if (above + sum + ties * pivot >= mass) {
      result.value = pivot;
      result.ties = Math.min(ties, Math.max(1, Math.ceil((mass - above - sum) / pivot)));
      return result;
    }
    above += sum + ties * pivot;
    low = less;
  }
  result.value = Number.NEGATIVE_INFINITY;
  result.ties = 0;
  return result;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

function swap(values: Float64Array, i: number, j: number): void {
  const value = values[i]!;
  values[i] = values[j]!;
  values[j] = value;
}
