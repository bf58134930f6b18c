/**
 * @file A multilayer perceptron on the kernel library: [N, in] → linear, ReLU, (dropout) for each hidden width → linear
 * [N, out]. Two sessions, forward and backward; activations are computed again in the backward pass, which for networks of
 * this size costs less than to keep them.
 */

import { key, Stream, uniformAt } from "../../../random/stream.ts";
import { addTo, linear } from "../graph/operations.ts";
import { Tape, type Variable } from "../graph/tape.ts";
import { Program } from "../model/body-programs.ts";
import type { FlatTensors } from "../model/weights.ts";
import type { OrtBackend, OrtTensor } from "../ort/backend.ts";

export interface NetworkShape {
  /** First part of the parameters' names. */
  readonly name: string;
  /** [in, …hidden, out] */
  readonly widths: readonly number[];
  /** Share of hidden units that a row leaves out; 0: none, and no inputs for it. */
  readonly dropout: number;
}

const weightName = (name: string, layer: number) => `${name}.${layer}.weight`;
const biasName = (name: string, layer: number) => `${name}.${layer}.bias`;
const keepName = (layer: number) => `keep.${layer}`;

/** Names and shapes of the parameters, in order. */
export function networkShapes({ name, widths }: NetworkShape): (readonly [string, readonly number[]])[] {
  return widths
    .slice(1)
    .flatMap((out, layer) => [
      [weightName(name, layer), [out, widths[layer]!]] as const,
      [biasName(name, layer), [out]] as const,
    ]);
}

/**
 * Hidden weights normal with variance 2/in (He et al., arXiv 1502.01852; CHOSEN), biases 0, output layer 0 (MixRAGRec):
 * the first policy is uniform and the first values are 0.
 */
export function initialiseNetwork({ name, widths }: NetworkShape, weights: FlatTensors, seed: number): void {
  for (let layer = 0; layer + 2 < widths.length; layer++) {
    const draws = new Stream(key(seed, "choice", name, layer));
    const deviation = Math.sqrt(2 / widths[layer]!);
    const view = weights.view(weightName(name, layer));
    for (let i = 0; i < view.length; i++) view[i] = deviation * draws.normal();
  }
}

/**
 * [hidden units, layer by layer] 0 or 1/(1 − p): the units that a text keeps, drawn from seed and text alone. Sampling,
 * first pass and all later ones of a text leave out the same units, so that old and new log-probs belong to one network.
 */
export function keptUnits(
  { name, widths, dropout }: NetworkShape,
  seed: number,
  text: string,
): Float32Array[] {
  if (dropout === 0) return [];
  return widths.slice(1, -1).map((width, layer) => {
    const at = key(seed, "dropout", name, layer, text);
    return Float32Array.from({ length: width }, (_, unit) =>
      uniformAt(at, unit) < dropout ? 0 : 1 / (1 - dropout),
    );
  });
}

/** One row of input. */
export interface NetworkRow {
  readonly features: Float32Array;
  /** As `keptUnits` gives them; absent: every unit, unscaled. */
  readonly kept?: readonly Float32Array[];
}

export class Network {
  readonly shape: NetworkShape;
  readonly #backend: OrtBackend;
  readonly #forward: Program;
  readonly #backward: Program | null;

  private constructor(shape: NetworkShape, backend: OrtBackend, forward: Program, backward: Program | null) {
    this.shape = shape;
    this.#backend = backend;
    this.#forward = forward;
    this.#backward = backward;
  }

  static async create(backend: OrtBackend, shape: NetworkShape, trainable: boolean): Promise<Network> {
    const { forward, backward } = networkTape(shape, trainable).build();
    // Products of this size are done before a second thread has woken up.
    const session = async (model: Uint8Array) => backend.createSession(model, { threads: 1 });
    const first = new Program(await session(forward.model), forward);
    if (!backward) return new Network(shape, backend, first, null);
    try {
      return new Network(shape, backend, first, new Program(await session(backward.model), backward));
    } catch (error) {
      first.dispose();
      throw error;
    }
  }

  /** [N, out] */
  forward(weights: FlatTensors, rows: readonly NetworkRow[]): Float32Array {
    const inputs = this.#inputs(rows);
    try {
      const [output] = this.#forward.run(({ role, name }) =>
        role === "parameter" ? weights.tensor(name) : inputs.get(name)!,
      );
      const values = Float32Array.from(output!.data as Float32Array);
      output!.dispose();
      return values;
    } finally {
      for (const tensor of inputs.values()) tensor.dispose();
    }
  }

  /** Adds ∂L/∂θ to `gradients`, given ∂L/∂output [N, out]. */
  backward(
    weights: FlatTensors,
    rows: readonly NetworkRow[],
    slopes: Float32Array,
    gradients: FlatTensors,
  ): void {
    const inputs = this.#inputs(rows);
    const slope = this.#backend.tensor(slopes, [rows.length, this.shape.widths.at(-1)!]);
    try {
      this.#backward!.run(
        ({ role, name }) => {
          if (role === "parameter") return weights.tensor(name);
          if (role === "parameter-gradient") return gradients.tensor(name);
          return role === "output-gradient" ? slope : inputs.get(name)!;
        },
        ({ name }) => gradients.tensor(name),
      );
    } finally {
      slope.dispose();
      for (const tensor of inputs.values()) tensor.dispose();
    }
  }

  dispose(): void {
    this.#forward.dispose();
    this.#backward?.dispose();
  }

  #inputs(rows: readonly NetworkRow[]): Map<string, OrtTensor> {
    const { widths, dropout } = this.shape;
    const inputs = new Map<string, OrtTensor>();
    const put = (name: string, width: number, rowOf: (row: NetworkRow) => Float32Array | undefined) => {
      const data = new Float32Array(rows.length * width).fill(1);
      rows.forEach((row, i) => {
        const values = rowOf(row);
        if (values) data.set(values, i * width);
      });
      inputs.set(name, this.#backend.tensor(data, [rows.length, width]));
    };
    put("features", widths[0]!, ({ features }) => features);
    for (let layer = 0; dropout > 0 && layer + 2 < widths.length; layer++)
      put(keepName(layer), widths[layer + 1]!, ({ kept }) => kept?.[layer]);
    return inputs;
  }
}

function networkTape({ name, widths, dropout }: NetworkShape, trainable: boolean): Tape {
  const tape = new Tape();
  let x = tape.input("features", ["N", widths[0]!]);
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    const [input, out] = [widths[layer]!, widths[layer + 1]!];
    const weight = tape.parameter(weightName(name, layer), [out, input], trainable);
    const bias = tape.parameter(biasName(name, layer), [out], trainable);
    const last = layer + 2 === widths.length;
    const sum = linear(tape, x, weight, bias, last ? "output" : undefined);
    x = last ? sum : relu(tape, sum);
    if (!last && dropout > 0) x = scaled(tape, x, tape.input(keepName(layer), ["N", out]));
  }
  tape.output(x);
  return tape;
}

function relu(tape: Tape, x: Variable): Variable {
  return tape.record({
    inputs: [x],
    outputs: [{ dimensions: x.dimensions }],
    emit: (graph, [value]) => [graph.op("Relu", [value!])],
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => {
        const open = graph.op("Greater", [read(x), graph.scalar(0)], { types: ["bool"] });
        const through = graph.op("Where", [open, gradient, graph.scalar(0)], { types: ["float32"] });
        return addTo(graph, sum, through);
      }),
  })[0]!;
}

/** x · factor, elementwise; no gradient goes to the factor. */
function scaled(tape: Tape, x: Variable, factor: Variable): Variable {
  return tape.record({
    inputs: [x, factor],
    outputs: [{ dimensions: x.dimensions }],
    emit: (graph, inputs) => [graph.op("Mul", inputs)],
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => addTo(graph, sum, graph.op("Mul", [gradient, read(factor)]))),
  })[0]!;
}
