/**
 * @file AdamW (Loshchilov & Hutter, 2019: decoupled weight decay) over flat buffers, in place.
 *
 *   m ← β₁m + (1 − β₁)g      v ← β₂v + (1 − β₂)g²
 *   θ ← θ − η·λ·θ − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 *
 * One small graph is run over slices of 256 k elements, so that its intermediate results stay in the second-level
 * cache: about a quarter of the time of one pass over whole buffers.
 */

import { TroupeError } from "../../../errors.ts";
import { GraphBuilder } from "../graph/graph-builder.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import { nonFiniteParameter, squaredNorm } from "./gradient-norm.ts";
import type { ParameterTable } from "./parameters.ts";
import type { FlatTensors } from "./weights.ts";

export class OptimizerError extends TroupeError {}

export interface AdamWSettings {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Global-norm clipping; absent: none. */
  readonly maxGradientNorm?: number;
}

export interface AdamWResult {
  /** Global norm before clipping. */
  readonly gradientNorm: number;
  readonly clipped: boolean;
}

/** Scalars that change from step to step, in the graph's order. */
const scalarNames = [
  "gradientScale",
  "keepFirst",
  "addFirst",
  "keepSecond",
  "addSecond",
  "secondCorrection",
  "epsilon",
  "stepSize",
  "keepWeight",
] as const;

/** The session; one serves every optimiser of a backend. */
export class AdamWKernel {
  readonly backend: OrtBackend;
  readonly session: OrtSession;

  private constructor(backend: OrtBackend, session: OrtSession) {
    this.backend = backend;
    this.session = session;
  }

  static async create(backend: OrtBackend): Promise<AdamWKernel> {
    return new AdamWKernel(backend, await backend.createSession(adamWGraph()));
  }

  dispose(): void {
    this.session.dispose();
  }
}

/** One slice of all four buffers. */
interface Slice {
  readonly decay: boolean;
  readonly weights: OrtTensor;
  readonly gradients: OrtTensor;
  readonly first: OrtTensor;
  readonly second: OrtTensor;
}

export class AdamW {
  readonly weights: FlatTensors;
  readonly gradients: FlatTensors;
  /** First and second moment, laid out like the weights. Live: reading a checkpoint writes into them. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  /** Steps taken: the t of the bias corrections. Set when a checkpoint is read. */
  steps = 0;
  readonly #kernel: AdamWKernel;
  readonly #slices: readonly Slice[];
  readonly #scalars: Float32Array;
  readonly #scalarTensors: readonly OrtTensor[];

  constructor(kernel: AdamWKernel, weights: FlatTensors, gradients: FlatTensors) {
    if (gradients.table !== weights.table) {
      throw new OptimizerError({
        code: "E_ADAMW_TABLE",
        message: `Weights and gradients have different tables (${weights.flat.length} and ${gradients.flat.length} elements).`,
      });
    }
    this.#kernel = kernel;
    this.weights = weights;
    this.gradients = gradients;
    this.first = new Float32Array(weights.flat.length);
    this.second = new Float32Array(weights.flat.length);
    this.#slices = sliceRanges(weights.table).map(({ from, to, decay }) => {
      const over = (flat: Float32Array) => kernel.backend.tensor(flat.subarray(from, to), [to - from]);
      return {
        decay,
        weights: over(weights.flat),
        gradients: over(gradients.flat),
        first: over(this.first),
        second: over(this.second),
      };
    });
    // Two sets of scalars: with and without decay. They differ in the last.
    this.#scalars = new Float32Array(scalarNames.length + 1);
    this.#scalarTensors = Array.from(this.#scalars, (_, i) =>
      kernel.backend.tensor(this.#scalars.subarray(i, i + 1), [1]),
    );
  }

  /**
   * Updates the weights and leaves the gradients as they are.
   * @throws OptimizerError that names the tensor when a gradient is not finite; nothing was changed then.
   */
  step(settings: AdamWSettings): AdamWResult {
    checkSettings(settings);
    const { learningRate, betas, epsilon, weightDecay, maxGradientNorm } = settings;
    const { table, flat } = this.gradients;
    const gradientNorm = Math.sqrt(squaredNorm(flat, 0, flat.length));
    if (!Number.isFinite(gradientNorm)) {
      const { name, index, value } = nonFiniteParameter(table, flat)!;
      throw new OptimizerError({
        code: "E_GRADIENT_NON_FINITE",
        message: `The gradient of ${name} is ${value} at element ${index}. The weights were left as they were.`,
        hint: "look for a non-finite reward or loss; else lower the learning rate or set maxGradientNorm",
        facts: { parameter: name, index, value },
      });
    }
    const clipped = maxGradientNorm !== undefined && gradientNorm > maxGradientNorm;
    this.steps++;
    const [beta1, beta2] = betas;
    this.#scalars.set([
      clipped ? maxGradientNorm / gradientNorm : 1,
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      1 / Math.sqrt(1 - beta2 ** this.steps),
      epsilon,
      learningRate / (1 - beta1 ** this.steps),
      1 - learningRate * weightDecay,
      1,
    ]);
    const shared = this.#scalarTensors.slice(0, scalarNames.length - 1);
    const [decayed, kept] = this.#scalarTensors.slice(scalarNames.length - 1);
    for (const { decay, weights, gradients, first, second } of this.#slices) {
      this.#kernel.session.run(
        [weights, gradients, first, second, ...shared, decay ? decayed! : kept!],
        [weights, first, second],
      );
    }
    return { gradientNorm, clipped };
  }

  dispose(): void {
    for (const { weights, gradients, first, second } of this.#slices) {
      for (const tensor of [weights, gradients, first, second]) tensor.dispose();
    }
    for (const tensor of this.#scalarTensors) tensor.dispose();
  }
}

const sliceLength = 2 ** 18;

/** Runs of parameters that are decayed, or not, alike; cut into slices of equal length. */
function sliceRanges(table: ParameterTable): { from: number; to: number; decay: boolean }[] {
  const runs: { from: number; to: number; decay: boolean }[] = [];
  for (const { offset, length, decay } of table.parameters) {
    const last = runs.at(-1);
    if (last?.decay === decay) last.to = offset + length;
    else runs.push({ from: offset, to: offset + length, decay });
  }
  return runs.flatMap(({ from, to, decay }) => {
    const pieces = Math.ceil((to - from) / sliceLength);
    const size = Math.ceil((to - from) / pieces / 16) * 16;
    return Array.from({ length: pieces }, (_, i) => ({
      from: from + i * size,
      to: Math.min(to, from + (i + 1) * size),
      decay,
    }));
  });
}

/** Every output is an input's memory: each input is read no later than by the node that writes over it. */
function adamWGraph(): Uint8Array {
  const graph = new GraphBuilder();
  const flat = (name: string) => graph.input(name, "float32", ["n"]);
  const [weights, gradients, first, second] = [
    flat("weights"),
    flat("gradients"),
    flat("first"),
    flat("second"),
  ];
  const scalars = scalarNames.map((name) => graph.input(name, "float32", [1]));
  const [scale, keepFirst, addFirst, keepSecond, addSecond, correction, epsilon, stepSize, keepWeight] =
    scalars;
  const multiply = (a: typeof weights, b: typeof weights | undefined) => graph.op("Mul", [a, b!]);
  const plus = (a: typeof weights, b: typeof weights | undefined) => graph.op("Add", [a, b!]);
  const gradient = multiply(gradients, scale);
  const newFirst = plus(multiply(first, keepFirst), multiply(gradient, addFirst));
  const square = multiply(gradient, gradient);
  const newSecond = plus(multiply(second, keepSecond), multiply(square, addSecond));
  const deviation = plus(multiply(graph.op("Sqrt", [newSecond]), correction), epsilon);
  const update = multiply(graph.op("Div", [newFirst, deviation]), stepSize);
  const updated = graph.op("Sub", [multiply(weights, keepWeight), update]);
  graph.output(updated, ["n"], "newWeights");
  graph.output(newFirst, ["n"], "newFirst");
  graph.output(newSecond, ["n"], "newSecond");
  return graph.build();
}

function checkSettings({ learningRate, betas, epsilon, weightDecay, maxGradientNorm }: AdamWSettings): void {
  const rule = (name: string, value: number, holds: boolean, range: string) => {
    if (holds && Number.isFinite(value)) return;
    throw new OptimizerError({
      code: "E_ADAMW_SETTINGS",
      message: `AdamW's ${name} is ${value}; it must be ${range}.`,
    });
  };
  rule("learningRate", learningRate, learningRate >= 0, "at least 0");
  for (const beta of betas) rule("beta", beta, beta >= 0 && beta < 1, "in [0, 1)");
  rule("epsilon", epsilon, epsilon > 0, "above 0");
  rule("weightDecay", weightDecay, weightDecay >= 0, "at least 0");
  if (maxGradientNorm !== undefined) {
    rule("maxGradientNorm", maxGradientNorm, maxGradientNorm > 0, "above 0");
  }
}
