/** @file A scalar value per scored position, v = w·h + b: so little work that plain loops do it. */

import type { OrtTensor } from "../ort/backend.ts";
import type { FlatTensors } from "./weights.ts";

export const valueWeightName = "value_head.weight";
export const valueBiasName = "value_head.bias";

/** hidden [N, D] → v [N]. */
export function valueForward(parameters: FlatTensors, hidden: OrtTensor): Float32Array {
  const weight = parameters.view(valueWeightName);
  const bias = parameters.view(valueBiasName)[0]!;
  const size = weight.length;
  const rows = hidden.data as Float32Array;
  const values = new Float32Array(rows.length / size);
  for (let n = 0; n < values.length; n++) {
    let sum = bias;
    for (let d = 0; d < size; d++) sum += weight[d]! * rows[n * size + d]!;
    values[n] = sum;
  }
  return values;
}

/** Adds ∂L/∂w and ∂L/∂b to `gradients`, and ∂L/∂h to `hiddenGradient` [N·D], given ∂L/∂v [N]. */
export function valueBackward(
  parameters: FlatTensors,
  hidden: OrtTensor,
  slopes: Float32Array,
  gradients: FlatTensors,
  hiddenGradient: Float32Array,
): void {
  const weight = parameters.view(valueWeightName);
  const weightGradient = gradients.view(valueWeightName);
  const size = weight.length;
  const rows = hidden.data as Float32Array;
  let bias = 0;
  for (let n = 0; n < slopes.length; n++) {
    const slope = slopes[n]!;
    bias += slope;
    for (let d = 0; d < size; d++) {
      weightGradient[d]! += slope * rows[n * size + d]!;
      hiddenGradient[n * size + d]! += slope * weight[d]!;
    }
  }
  gradients.view(valueBiasName)[0]! += bias;
}
