/**
 * @file Values of each scored position, v_k = w_k·h + b_k with one row of weights for each of K heads: so little work that
 * plain loops do it. Values and their gradients are [N, K], the heads of one position side by side.
 */

import type { OrtTensor } from "../ort/backend.ts";
import type { FlatTensors } from "./weights.ts";

/** [K, D] */
export const valueWeightName = "value_head.weight";
/** [K] */
export const valueBiasName = "value_head.bias";

/** K; 0 without a value head. */
export function valueHeadsOf(parameters: FlatTensors): number {
  return parameters.has(valueBiasName) ? parameters.parameter(valueBiasName).length : 0;
}

/** hidden [N, D] → v [N, K]. */
export function valueForward(parameters: FlatTensors, hidden: OrtTensor): Float32Array {
  const weight = parameters.view(valueWeightName);
  const bias = parameters.view(valueBiasName);
  const heads = bias.length;
  const size = weight.length / heads;
  const rows = hidden.data as Float32Array;
  const values = new Float32Array((rows.length / size) * heads);
  for (let i = 0; i < values.length; i++) {
    const head = i % heads;
    const row = ((i - head) / heads) * size;
    let sum = bias[head]!;
    for (let d = 0; d < size; d++) sum += weight[head * size + d]! * rows[row + d]!;
    values[i] = sum;
  }
  return values;
}

/** Adds ∂L/∂w and ∂L/∂b to `gradients`, and ∂L/∂h to `hiddenGradient` [N·D], given ∂L/∂v [N, K]. */
export function valueBackward(
  parameters: FlatTensors,
  hidden: OrtTensor,
  slopes: Float32Array,
  gradients: FlatTensors,
  hiddenGradient: Float32Array,
): void {
  const weight = parameters.view(valueWeightName);
  const weightGradient = gradients.view(valueWeightName);
  const biasGradient = gradients.view(valueBiasName);
  const heads = biasGradient.length;
  const size = weight.length / heads;
  const rows = hidden.data as Float32Array;
  const biases = new Float64Array(heads);
  for (let i = 0; i < slopes.length; i++) {
    const head = i % heads;
    const row = ((i - head) / heads) * size;
    const slope = slopes[i]!;
    biases[head]! += slope;
    for (let d = 0; d < size; d++) {
      weightGradient[head * size + d]! += slope * rows[row + d]!;
      hiddenGradient[row + d]! += slope * weight[head * size + d]!;
    }
  }
  for (let head = 0; head < heads; head++) biasGradient[head]! += biases[head]!;
}
