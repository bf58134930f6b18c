/** @file What a forward pass of the body leaves for its backward pass, and who frees it when. */

import type { OrtTensor } from "../ort/backend.ts";
import { BodyError } from "./body-error.ts";
import type { PackedRows } from "./packed.ts";

/** What `forward` leaves for `backward`. One backward pass consumes it. */
export interface BodyActivations {
  /** [N, D] after the final norm. Alive until `dispose`. */
  readonly hidden: OrtTensor;
  /** Frees everything; harmless when repeated. */
  dispose(): void;
}

/** Tensors that a layer's forward graph hands to its backward graph, by name. */
export type Saved = ReadonlyMap<string, OrtTensor>;

/** Internal form of `BodyActivations`: it owns every tensor of one pass that is still alive. */
export class Activations implements BodyActivations {
  readonly packed: PackedRows;
  /** What every layer reads besides its own input, by name. */
  readonly shared: ReadonlyMap<string, OrtTensor>;
  /** Input of each layer and, last, of the final norm. */
  readonly inputs: OrtTensor[] = [];
  /** By layer; `null` for one that is to be run forward again. */
  readonly saved: (Saved | null)[] = [];
  readonly #alive = new Set<OrtTensor>();
  #hidden: OrtTensor | null = null;
  #consumed = false;

  constructor(packed: PackedRows, shared: ReadonlyMap<string, OrtTensor>) {
    this.packed = packed;
    this.shared = shared;
    this.own(...shared.values());
  }

  get hidden(): OrtTensor {
    if (this.#hidden === null || !this.#alive.has(this.#hidden)) {
      throw new BodyError({
        code: "E_BODY_ACTIVATIONS",
        message: "The hidden rows of these activations were disposed.",
        hint: "read them before dispose()",
      });
    }
    return this.#hidden;
  }

  setHidden(tensor: OrtTensor): void {
    this.own(tensor);
    this.#hidden = tensor;
  }

  own(...tensors: readonly OrtTensor[]): void {
    for (const tensor of tensors) this.#alive.add(tensor);
  }

  /** Gives a tensor away: its new owner disposes it. */
  disown(tensor: OrtTensor): OrtTensor {
    this.#alive.delete(tensor);
    return tensor;
  }

  release(...tensors: readonly OrtTensor[]): void {
    for (const tensor of tensors) if (this.#alive.delete(tensor)) tensor.dispose();
  }

  /** A backward pass may begin: once, and only before `dispose`. */
  consume(): void {
    if (this.#consumed) {
      throw new BodyError({
        code: "E_BODY_ACTIVATIONS",
        message: "These activations were already used for a backward pass or disposed.",
        hint: "run forward() again; each backward pass consumes the activations of one forward pass",
      });
    }
    this.#consumed = true;
  }

  dispose(): void {
    this.#consumed = true;
    this.release(...this.#alive);
  }
}
