/**
 * @file A small multilayer perceptron and Adam, in float64: for what a method learns beside the policy.
 *
 *   h_0 = x,  z_k = W_k h_{k−1} + b_k,  h_k = φ(z_k),  no φ after the last layer
 *   GELU (tanh form): φ(z) = z/2 · (1 + tanh(√(2/π) (z + 0.044715 z³)));  ReLU: max(z, 0), slope 0 at 0
 *
 * Adam: Kingma & Ba (arXiv 1412.6980). GELU: Hendrycks & Gimpel (1606.08415). First weights and biases are uniform in
 * ±1/√(inputs of the layer), which is what PyTorch's `Linear` does.
 */

import type { Stream } from "../../random/stream.ts";
import { LossError } from "../errors.ts";

export interface NetworkShape {
  /** Inputs, hidden widths, outputs. */
  readonly widths: readonly number[];
  readonly activation: "gelu" | "relu";
}

/** What {@link backward} needs of a forward pass. */
export interface Activations {
  /** [layers] inputs of each layer, and its z. */
  readonly inputs: readonly Float64Array[];
  readonly sums: readonly Float64Array[];
  /** [outputs] */
  readonly output: Float64Array;
}

/** Weights [out × in] and biases [out] of each layer, one after another. */
export function parameterCount({ widths }: NetworkShape): number {
  return widths.slice(1).reduce((count, width, k) => count + width * (widths[k]! + 1), 0);
}

export function initialParameters(shape: NetworkShape, random: Stream): Float64Array {
  const parameters = new Float64Array(parameterCount(shape));
  let at = 0;
  for (const [k, width] of shape.widths.slice(1).entries()) {
    const bound = 1 / Math.sqrt(shape.widths[k]!);
    for (const end = at + width * (shape.widths[k]! + 1); at < end; at++)
      parameters[at] = (2 * random.uniform() - 1) * bound;
  }
  return parameters;
}

/** @param input [widths[0]] */
export function forward(
  { widths, activation }: NetworkShape,
  parameters: Float64Array,
  input: ArrayLike<number>,
): Activations {
  if (input.length !== widths[0]) throw unlike("input", input.length, widths[0]!);
  const inputs: Float64Array[] = [];
  const sums: Float64Array[] = [];
  let now = Float64Array.from(input);
  let at = 0;
  for (let k = 1; k < widths.length; k++) {
    inputs.push(now);
    const biases = at + widths[k]! * now.length;
    const sum = new Float64Array(widths[k]!);
    for (let row = 0; row < sum.length; row++) {
      let total = parameters[biases + row]!;
      for (let column = 0; column < now.length; column++) total += parameters[at++]! * now[column]!;
      sum[row] = total;
    }
    at = biases + sum.length;
    sums.push(sum);
    now = k === widths.length - 1 ? sum : sum.map((z) => activate(activation, z).value);
  }
  return { inputs, sums, output: now };
}

/** Adds ∂L/∂parameters to `gradients`, given [outputs] ∂L/∂output. */
export function backward(
  { widths, activation }: NetworkShape,
  parameters: Float64Array,
  { inputs, sums }: Activations,
  outputGradients: ArrayLike<number>,
  gradients: Float64Array,
): void {
  if (outputGradients.length !== widths.at(-1))
    throw unlike("gradient", outputGradients.length, widths.at(-1)!);
  let at = parameters.length;
  let above = Float64Array.from(outputGradients);
  for (let k = widths.length - 1; k >= 1; k--) {
    const input = inputs[k - 1]!;
    const biases = at - above.length;
    at = biases - above.length * input.length;
    const below = new Float64Array(input.length);
    for (let row = 0; row < above.length; row++) {
      gradients[biases + row]! += above[row]!;
      for (let column = 0, place = at + row * input.length; column < input.length; column++, place++) {
        gradients[place]! += above[row]! * input[column]!;
        below[column]! += above[row]! * parameters[place]!;
      }
    }
    above =
      k === 1 ? below : below.map((gradient, i) => gradient * activate(activation, sums[k - 2]![i]!).slope);
  }
}

function activate(activation: NetworkShape["activation"], z: number): { value: number; slope: number } {
  if (activation === "relu") return z > 0 ? { value: z, slope: 1 } : { value: 0, slope: 0 };
  const scale = Math.sqrt(2 / Math.PI);
  const tanh = Math.tanh(scale * (z + 0.044715 * z ** 3));
  const inner = scale * (1 + 3 * 0.044715 * z * z);
  return { value: 0.5 * z * (1 + tanh), slope: 0.5 * (1 + tanh) + 0.5 * z * (1 - tanh * tanh) * inner };
}

/** Moments of Adam, and the steps that it has taken. */
export interface AdamMoments {
  readonly first: Float64Array;
  readonly second: Float64Array;
  steps: number;
}

export const noMoments = (parameters: number): AdamMoments => ({
  first: new Float64Array(parameters),
  second: new Float64Array(parameters),
  steps: 0,
});

/** One step of Adam in place: β 0.9 and 0.999, ε 1e-8, as in the paper. */
export function adamStep(
  parameters: Float64Array,
  gradients: Float64Array,
  moments: AdamMoments,
  learningRate: number,
): void {
  moments.steps++;
  const [firstLeft, secondLeft] = [1 - 0.9 ** moments.steps, 1 - 0.999 ** moments.steps];
  for (const [i, gradient] of gradients.entries()) {
    const first = 0.9 * moments.first[i]! + 0.1 * gradient;
    const second = 0.999 * moments.second[i]! + 0.001 * gradient * gradient;
    moments.first[i] = first;
    moments.second[i] = second;
    parameters[i]! -= (learningRate * (first / firstLeft)) / (Math.sqrt(second / secondLeft) + 1e-8);
  }
}

function unlike(what: string, given: number, wanted: number): LossError {
  return new LossError({
    code: "E_NETWORK_SIZE",
    message: `The ${what} of a small network has ${given} numbers; the network has ${wanted}.`,
    facts: { given, wanted },
  });
}
