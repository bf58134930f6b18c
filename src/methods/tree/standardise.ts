/**
 * @file (value − mean) / (deviation + ε) within one set of values, with the edge cases that ports get wrong spelt out
 * (group-methods.md §0).
 */

export interface Standardisation {
  /** 0 = population, 1 = sample. */
  readonly ddof: 0 | 1;
  /** Added to the deviation. */
  readonly epsilon: number;
  /** A set of one: "zero", or "raw", the value itself (verl: mean 0, deviation 1). */
  readonly single: "zero" | "raw";
}

/** Below this deviation values count as equal and all become 0: ε would turn float noise into full-size advantages. */
export const leastSpread = 1e-6;

/** [n] → [n] */
export function standardised(values: readonly number[], settings: Standardisation): number[] {
  const { ddof, epsilon, single } = settings;
  if (values.length === 1) return single === "raw" ? [...values] : [0];
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - ddof));
  if (!(deviation >= leastSpread)) return values.map(() => 0);
  return values.map((value) => (value - mean) / (deviation + epsilon));
}

/** The same within each set of equal labels: per tree, per role. [n] values, [n] labels → [n] */
export function standardisedWithin(
  values: readonly number[],
  labels: readonly (string | number)[],
  settings: Standardisation,
): number[] {
  const members = new Map<string | number, number[]>();
  labels.forEach((label, i) => {
    const known = members.get(label);
    if (known === undefined) members.set(label, [i]);
    else known.push(i);
  });
  const result = values.map(() => 0);
  for (const indexes of members.values()) {
    const inside = standardised(
      indexes.map((i) => values[i]!),
      settings,
    );
    indexes.forEach((index, i) => {
      result[index] = inside[i]!;
    });
  }
  return result;
}
