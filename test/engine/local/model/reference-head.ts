/** @file The head in plain loops and float64: log-prob, entropy and value of each row's target. */

export interface ReferenceHeadInput {
  /** [N][D] */
  readonly hidden: readonly Float64Array[];
  /** [V·D] */
  readonly weight: Float64Array;
  readonly targets: ArrayLike<number>;
  readonly inverseTemperatures: ArrayLike<number>;
}

export function referenceHead({ hidden, weight, targets, inverseTemperatures }: ReferenceHeadInput): {
  readonly logprobs: number[];
  readonly entropies: number[];
} {
  const logprobs: number[] = [];
  const entropies: number[] = [];
  hidden.forEach((row, n) => {
    const logits = Array.from({ length: weight.length / row.length }, (_, v) => {
      let sum = 0;
      for (let d = 0; d < row.length; d++) sum += row[d]! * weight[v * row.length + d]!;
      return sum * inverseTemperatures[n]!;
    });
    const top = Math.max(...logits);
    const normaliser = top + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - top), 0));
    logprobs.push(logits[targets[n]!]! - normaliser);
    entropies.push(-logits.reduce((sum, z) => sum + Math.exp(z - normaliser) * (z - normaliser), 0));
  });
  return { logprobs, entropies };
}
