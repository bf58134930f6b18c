/** @file Learning rate over the steps of a run. */

export interface LearningRateSchedule {
  readonly peak: number;
  /** Steps of linear rise from 0. Default 0. */
  readonly warmupSteps?: number;
  /** From the end of the warm-up to the last step. Default "constant". */
  readonly decay?: "constant" | "linear" | "cosine";
  /** Where the decay ends. Default 0. */
  readonly final?: number;
}

export type LearningRate = number | LearningRateSchedule;

/** The rate of update `step` of `steps`, counted from 1. */
export function learningRateAt(rate: LearningRate, step: number, steps: number): number {
  if (typeof rate === "number") return rate;
  const { peak, warmupSteps = 0, decay = "constant", final = 0 } = rate;
  if (step <= warmupSteps) return (peak * step) / (warmupSteps + 1);
  if (decay === "constant") return peak;
  const done = (step - warmupSteps - 1) / Math.max(1, steps - warmupSteps - 1);
  const left = decay === "linear" ? 1 - done : (1 + Math.cos(Math.PI * Math.min(1, done))) / 2;
  return final + (peak - final) * Math.max(0, left);
}
