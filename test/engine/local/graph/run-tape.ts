/** @file Runs both graphs of a tape on plain arrays, for tests. */

import type { BuiltGraph, Tape } from "../../../../src/engine/local/graph/tape.ts";
import type { OrtBackend, OrtTensor, TensorArray } from "../../../../src/engine/local/ort/backend.ts";

export interface Leaf {
  readonly data: TensorArray;
  readonly shape: readonly number[];
}

export interface TapeRun {
  readonly outputs: ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;
  /** Gradients of inputs and parameters by name. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Names of what the forward graph handed over. */
  readonly saved: readonly string[];
}

/** Sessions of one tape; `run` may be called with different leaves. */
export class TapeRunner {
  readonly #backend: OrtBackend;
  readonly #built: { readonly forward: BuiltGraph; readonly backward: BuiltGraph | null };

  constructor(backend: OrtBackend, tape: Tape) {
    this.#backend = backend;
    this.#built = tape.build();
  }

  /** `accumulators` gives start values of parameter gradients; zeros otherwise. They are written in place. */
  async run(
    leaves: ReadonlyMap<string, Leaf>,
    outputGradients: ReadonlyMap<string, Leaf> = new Map(),
    accumulators: ReadonlyMap<string, Float32Array> = new Map(),
  ): Promise<TapeRun> {
    const { forward, backward } = this.#built;
    const tensor = ({ data, shape }: Leaf): OrtTensor => this.#backend.tensor(data, shape);
    const session = await this.#backend.createSession(forward.model);
    const results = session.run(
      forward.inputs.map(({ name }) => tensor(leaves.get(name)!)),
      forward.outputs.map(() => null),
    );
    const byName = new Map(forward.outputs.map(({ name }, i) => [name, results[i]!]));
    const outputs = new Map(
      forward.outputs
        .filter(({ role }) => role === "output")
        .map(({ name }) => {
          const { data, dimensions } = byName.get(name)!;
          return [name, { data: Float32Array.from(data as Float32Array), shape: dimensions }];
        }),
    );
    const saved = forward.outputs.filter(({ role }) => role === "saved").map(({ name }) => name);
    const gradients = new Map<string, Float32Array>();
    if (backward && outputGradients.size > 0) {
      const inPlace = new Map<string, OrtTensor>();
      for (const { role, name } of backward.inputs) {
        if (role !== "parameter-gradient") continue;
        const { data, shape } = leaves.get(name)!;
        inPlace.set(name, tensor({ data: accumulators.get(name) ?? new Float32Array(data.length), shape }));
      }
      const second = await this.#backend.createSession(backward.model);
      const back = second.run(
        backward.inputs.map(({ role, name }) => {
          if (role === "parameter-gradient") return inPlace.get(name)!;
          if (role === "saved") return byName.get(name)!;
          return tensor((role === "output-gradient" ? outputGradients : leaves).get(name)!);
        }),
        backward.outputs.map(({ role, name }) => (role === "parameter-gradient" ? inPlace.get(name)! : null)),
      );
      backward.outputs.forEach(({ name }, i) => {
        gradients.set(name, Float32Array.from(back[i]!.data as Float32Array));
      });
      second.dispose();
    }
    session.dispose();
    return { outputs, gradients, saved };
  }
}
