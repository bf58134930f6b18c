/**
 * @file Reverse-mode differentiation over two ONNX graphs. Operations are recorded once; `build` emits the forward
 * graph and, from each operation's vector-Jacobian product (vjp), the backward graph. What the backward pass needs
 * of the forward pass is found by asking: a tensor named in `saved` becomes an output of the one and an input of
 * the other, and every other tensor is computed again in the backward graph from what is there. So the choice
 * between memory and time is one set of names, and nothing is saved that no vjp reads.
 */

import { TroupeError } from "../../../errors.ts";
import { type DataType, type Dimension, GraphBuilder, type Value } from "./graph-builder.ts";

export class TapeError extends TroupeError {}

/** A tensor on the tape: an input, a parameter, or an output of an operation. */
export interface Variable {
  readonly name: string;
  readonly type: DataType;
  readonly dimensions: readonly Dimension[];
  /** Some gradient flows to it or through it. */
  readonly differentiable: boolean;
  /** `null` for inputs and parameters. */
  readonly operation: Operation | null;
  readonly index: number;
}

export interface OperationSettings {
  readonly inputs: readonly Variable[];
  readonly outputs: readonly {
    readonly name?: string;
    readonly type?: DataType;
    readonly dimensions: readonly Dimension[];
    /** Gradients flow through it. Default: through the first output only. */
    readonly differentiable?: boolean;
  }[];
  /** Emits the nodes; called for the forward graph, and for the backward graph where the result is recomputed. */
  readonly emit: (graph: GraphBuilder, inputs: readonly Value[]) => readonly Value[];
  /**
   * Emits the gradient of each input, given that of the output. Absent: nothing flows through. For an operation with
   * several outputs, `all` has one gradient each, `null` where nothing came back, and `gradient` is the first of them.
   */
  readonly vjp?: (backward: BackwardPass, gradient: Value, all: readonly (Value | null)[]) => void;
}

type Operation = OperationSettings & { readonly results: Variable[] };

/** What a vjp sees: the backward graph, the forward tensors in it, and the gradients gathered so far. */
export interface BackwardPass {
  readonly graph: GraphBuilder;
  /** The forward tensor inside the backward graph: an input, a saved tensor, or computed again. */
  read(variable: Variable): Value;
  /**
   * Adds to the gradient of `variable`. `emit` gets what is there so far (for a parameter: its accumulator) and
   * returns the sum, so that a Gemm can take it as C. Not called where no gradient is wanted.
   */
  contribute(variable: Variable, emit: (sum: Value | null) => Value): void;
}

/** One input or output of a built graph, in the graph's order. */
export interface Port {
  readonly role:
    | "input"
    | "parameter"
    | "saved"
    | "output"
    | "output-gradient"
    | "input-gradient"
    | "parameter-gradient";
  /** Name and dimensions of the variable. */
  readonly name: string;
  readonly dimensions: readonly Dimension[];
}

export interface BuiltGraph {
  readonly model: Uint8Array;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export class Tape {
  /** Names of the tensors that the forward graph hands to the backward graph. */
  readonly saved: ReadonlySet<string>;
  readonly #operations: Operation[] = [];
  readonly #leaves: { readonly variable: Variable; readonly role: "input" | "parameter" }[] = [];
  readonly #outputs: Variable[] = [];
  readonly #names = new Set<string>();

  constructor(saved: Iterable<string> = []) {
    this.saved = new Set(saved);
  }

  input(name: string, dimensions: readonly Dimension[], options: InputOptions = {}): Variable {
    return this.#leaf("input", name, dimensions, options);
  }

  /** A weight. Trainable: the backward graph has an accumulator for it, as an input and as an output. */
  parameter(name: string, dimensions: readonly Dimension[], trainable: boolean): Variable {
    return this.#leaf("parameter", name, dimensions, { differentiable: trainable });
  }

  /** Records an operation and returns its outputs. */
  record(settings: OperationSettings): Variable[] {
    const differentiable = settings.vjp !== undefined && settings.inputs.some((v) => v.differentiable);
    const operation: Operation = { ...settings, results: [] };
    settings.outputs.forEach((output, index) => {
      const name = output.name ?? `#${this.#operations.length}.${index}`;
      this.#claim(name);
      operation.results.push({
        name,
        type: output.type ?? "float32",
        dimensions: output.dimensions,
        differentiable: differentiable && (output.differentiable ?? index === 0),
        operation,
        index,
      });
    });
    this.#operations.push(operation);
    return operation.results;
  }

  /** Makes `variable` an output of the forward graph; its gradient becomes an input of the backward graph. */
  output(variable: Variable): void {
    this.#outputs.push(variable);
  }

  build(): { readonly forward: BuiltGraph; readonly backward: BuiltGraph | null } {
    const wanted = new Set<Variable>();
    const backward = this.#outputs.some((v) => v.differentiable) ? this.#buildBackward(wanted) : null;
    return { forward: this.#buildForward([...wanted]), backward };
  }

  #leaf(
    role: "input" | "parameter",
    name: string,
    dimensions: readonly Dimension[],
    { type = "float32", differentiable = false }: InputOptions,
  ): Variable {
    this.#claim(name);
    const variable: Variable = { name, type, dimensions, differentiable, operation: null, index: 0 };
    this.#leaves.push({ variable, role });
    return variable;
  }

  #claim(name: string): void {
    if (this.#names.has(name)) {
      throw new TapeError({ code: "E_TAPE_NAME", message: `The tape has two tensors named "${name}".` });
    }
    this.#names.add(name);
  }

  #buildForward(saved: readonly Variable[]): BuiltGraph {
    const graph = new GraphBuilder();
    const inputs: Port[] = [];
    const values = new Map<Variable, Value>();
    for (const { variable, role } of this.#leaves) {
      inputs.push({ role, name: variable.name, dimensions: variable.dimensions });
      values.set(variable, graph.input(variable.name, variable.type, variable.dimensions));
    }
    const live = reachable([...this.#outputs, ...saved]);
    for (const operation of this.#operations) {
      if (!live.has(operation)) continue;
      const results = operation.emit(
        graph,
        operation.inputs.map((v) => values.get(v)!),
      );
      operation.results.forEach((variable, i) => {
        values.set(variable, results[i]!);
      });
    }
    const outputs: Port[] = [];
    const declare = (role: Port["role"], variable: Variable) => {
      graph.output(values.get(variable)!, variable.dimensions);
      outputs.push({ role, name: variable.name, dimensions: variable.dimensions });
    };
    for (const variable of this.#outputs) declare("output", variable);
    for (const variable of saved) declare("saved", variable);
    return { model: graph.build(), inputs, outputs };
  }

  #buildBackward(wanted: Set<Variable>): BuiltGraph {
    const graph = new GraphBuilder();
    const inputs: Port[] = [];
    const values = new Map<Variable, Value>();
    const gradients = new Map<Variable, Value>();
    const roles = new Map(this.#leaves.map(({ variable, role }) => [variable, role]));

    const declare = (role: Port["role"], name: string, { type, dimensions }: Variable): Value => {
      inputs.push({ role, name, dimensions });
      return graph.input(`${role}:${name}`, type, dimensions);
    };
    const read = (variable: Variable): Value => {
      const known = values.get(variable);
      if (known) return known;
      const { operation, name } = variable;
      if (operation === null || this.saved.has(name)) {
        if (operation !== null) wanted.add(variable);
        const value = declare(operation === null ? roles.get(variable)! : "saved", name, variable);
        values.set(variable, value);
        return value;
      }
      const results = operation.emit(graph, operation.inputs.map(read));
      operation.results.forEach((result, i) => {
        if (!values.has(result)) values.set(result, results[i]!);
      });
      return values.get(variable)!;
    };
    const contribute = (variable: Variable, emit: (sum: Value | null) => Value): void => {
      if (!variable.differentiable) return;
      let sum = gradients.get(variable) ?? null;
      if (sum === null && roles.get(variable) === "parameter") {
        sum = declare("parameter-gradient", variable.name, variable);
      }
      gradients.set(variable, emit(sum));
    };

    for (const variable of this.#outputs) {
      if (!variable.differentiable) continue;
      gradients.set(variable, declare("output-gradient", variable.name, variable));
    }
    for (const operation of this.#operations.toReversed()) {
      const arrived = operation.results.map((result) => gradients.get(result) ?? null);
      const first = arrived.find((gradient) => gradient !== null);
      if (first) operation.vjp!({ graph, read, contribute }, first, arrived);
    }

    const outputs: Port[] = [];
    for (const { variable, role } of this.#leaves) {
      const gradient = gradients.get(variable);
      if (!gradient) continue;
      graph.output(gradient, variable.dimensions);
      const kind = role === "parameter" ? "parameter-gradient" : "input-gradient";
      outputs.push({ role: kind, name: variable.name, dimensions: variable.dimensions });
    }
    return { model: graph.build(), inputs, outputs };
  }
}

export interface InputOptions {
  readonly type?: DataType;
  readonly differentiable?: boolean;
}

function reachable(variables: readonly Variable[]): Set<Operation> {
  const live = new Set<Operation>();
  const visit = ({ operation }: Variable) => {
    if (operation === null || live.has(operation)) return;
    live.add(operation);
    operation.inputs.forEach(visit);
  };
  variables.forEach(visit);
  return live;
}
