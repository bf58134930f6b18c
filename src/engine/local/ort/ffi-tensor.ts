/**
 * @file An OrtValue together with the memory below it. Of the C API's lifetime rules none is left to the caller:
 * the tensor roots the array, knows whether it was disposed or detached, and is freed when it is forgotten.
 */

import koffi from "koffi";
import type { OrtTensor, TensorArray } from "./backend.ts";
import { type ElementType, elementTypes, requireElementType } from "./element-type.ts";
import type { OrtEnvironment } from "./environment.ts";
import { tensorDetached, tensorDisposed, tensorType } from "./errors.ts";
import type { Pointer } from "./function-table.ts";
import { check, take, takeNumber } from "./status.ts";
import { elementCount, highestRank, requireFixedLength } from "./tensor-checks.ts";

/** What the collector needs to free a forgotten tensor; it must not refer to the tensor. */
interface Lifetime {
  readonly environment: OrtEnvironment;
  readonly value: Pointer;
  alive: boolean;
}

function end(lifetime: Lifetime): void {
  if (!lifetime.alive) return;
  lifetime.alive = false;
  lifetime.environment.functions.ReleaseValue(lifetime.value);
  lifetime.environment.release();
}

/** A safety net behind `dispose`: runs between two calls, never during one, as all runs block this thread. */
const forgotten = new FinalizationRegistry<Lifetime>(end);

/** Keeps a tensor for as long as somebody holds a view of the memory that the runtime owns. */
const owners = new WeakMap<ArrayBuffer, FfiTensor>();

const shapeScratch = new BigInt64Array(highestRank);

export class FfiTensor implements OrtTensor {
  readonly dimensions: readonly number[];
  readonly elementType: ElementType;
  readonly #length: number;
  readonly #lifetime: Lifetime;
  /** Absent for memory of the runtime until somebody looks at it. */
  #data: TensorArray | undefined;

  private constructor(
    environment: OrtEnvironment,
    value: Pointer,
    elementType: ElementType,
    dimensions: readonly number[],
    length: number,
    data: TensorArray | undefined,
  ) {
    environment.retain();
    this.#lifetime = { environment, value, alive: true };
    this.elementType = elementType;
    this.dimensions = dimensions;
    this.#length = length;
    this.#data = data;
    forgotten.register(this, this.#lifetime, this);
  }

  /** Over memory that JavaScript owns; no copy. */
  static over(environment: OrtEnvironment, data: TensorArray, dimensions: readonly number[]): FfiTensor {
    const elementType = requireElementType(data);
    const length = elementCount(dimensions, data.length);
    requireFixedLength(data);
    const { functions } = environment;
    for (let i = 0; i < dimensions.length; i++) shapeScratch[i] = BigInt(dimensions[i]!);
    const value = take(functions, "make a tensor", (out) =>
      functions.CreateTensorWithDataAsOrtValue(
        environment.memoryInfo,
        // Touching `buffer` moves a small array off the JavaScript heap, where its address is fixed.
        data.buffer.byteLength === 0 ? null : (data as Uint8Array),
        data.byteLength,
        shapeScratch,
        dimensions.length,
        elementType.code,
        out,
      ),
    );
    return new FfiTensor(environment, value, elementType, [...dimensions], length, data);
  }

  /** Takes over a value that a run allocated. */
  static adopt(environment: OrtEnvironment, value: Pointer): FfiTensor {
    const { functions } = environment;
    const info = take(functions, "describe an output", (out) => functions.GetTensorTypeAndShape(value, out));
    try {
      const code = takeNumber(functions, "read an output's type", (out) =>
        functions.GetTensorElementType(info, out),
      );
      const rank = takeNumber(functions, "read an output's rank", (out) =>
        functions.GetDimensionsCount(info, out),
      );
      const elementType = elementTypes.find((type) => type.code === code);
      if (!elementType) throw tensorType(`an output of element type ${code}`);
      check(functions, functions.GetDimensions(info, shapeScratch, rank), "read an output's dimensions");
      const dimensions = Array.from(shapeScratch.subarray(0, rank), Number);
      const length = dimensions.reduce((product, dimension) => product * dimension, 1);
      return new FfiTensor(environment, value, elementType, dimensions, length, undefined);
    } finally {
      functions.ReleaseTensorTypeAndShapeInfo(info);
    }
  }

  get data(): TensorArray {
    if (!this.#lifetime.alive) throw tensorDisposed(`A tensor [${this.dimensions.join(", ")}]`);
    this.#data ??= this.#viewMemory();
    return this.#data;
  }

  /** The OrtValue, for a run; `side` and `name` say in an error which one was unusable. */
  handleFor(side: "Input" | "Output", name: string): Pointer {
    const lifetime = this.#lifetime;
    if (!lifetime.alive) throw tensorDisposed(`${side} "${name}"`);
    if (this.#data !== undefined && this.#data.length !== this.#length) {
      throw tensorDetached(`${side} "${name}"`, this.dimensions, this.#data.length);
    }
    return lifetime.value;
  }

  dispose(): void {
    if (!this.#lifetime.alive) return;
    forgotten.unregister(this);
    end(this.#lifetime);
    this.#data = undefined;
  }

  #viewMemory(): TensorArray {
    const { environment, value } = this.#lifetime;
    const { construct, bytes } = this.elementType;
    if (this.#length === 0) return new construct(new ArrayBuffer(0), 0, 0);
    const address = take(environment.functions, "read an output", (out) =>
      environment.functions.GetTensorMutableData(value, out),
    );
    const buffer = koffi.view(address, this.#length * bytes);
    owners.set(buffer, this);
    return new construct(buffer, 0, this.#length);
  }
}
