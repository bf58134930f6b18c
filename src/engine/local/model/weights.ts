/** @file Tensors of one flat buffer, as the sessions see them. */

import type { OrtBackend, OrtTensor } from "../ort/backend.ts";
import type { Parameter, ParameterTable } from "./parameters.ts";

/**
 * A flat `Float32Array` with a tensor view per parameter. Weights, gradients and both AdamW moments are four of
 * these over one table. Nothing is copied: an optimiser step is seen by the next run of every session.
 */
export class FlatTensors {
  readonly table: ParameterTable;
  readonly flat: Float32Array;
  readonly #backend: OrtBackend;
  readonly #tensors = new Map<string, OrtTensor>();

  constructor(backend: OrtBackend, table: ParameterTable, flat = new Float32Array(table.flatLength)) {
    this.#backend = backend;
    this.table = table;
    this.flat = flat;
  }

  has(name: string): boolean {
    return this.table.byName.has(name);
  }

  parameter(name: string): Parameter {
    const parameter = this.table.byName.get(name);
    if (!parameter) throw new RangeError(`No parameter "${name}" in this table.`);
    return parameter;
  }

  /** The elements of one parameter, in place. */
  view(name: string): Float32Array {
    const { offset, length } = this.parameter(name);
    return this.flat.subarray(offset, offset + length);
  }

  /** The same memory as an input or output of a session. Made once. */
  tensor(name: string): OrtTensor {
    let tensor = this.#tensors.get(name);
    if (!tensor) {
      tensor = this.#backend.tensor(this.view(name), this.parameter(name).shape);
      this.#tensors.set(name, tensor);
    }
    return tensor;
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
    this.#tensors.clear();
  }
}
