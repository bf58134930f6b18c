/**
 * @file An OrtValue together with the memory below it. Of the C API's lifetime rules none is left to the caller:
 * the tensor roots the array, knows whether it was disposed or detached, and is freed when it is forgotten.
 */

import koffi from "koffi";
import type { OrtTensor, TensorArray } from "./backend.ts";
import { type ElementType, requireElementType } from "./element-type.ts";
import type { OrtEnvironment } from "./environment.ts";
import { tensorDetached, tensorDisposed } from "./errors.ts";
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
const owners = new WeakMap<ArrayBufferLike, FfiTensor>();

const shapeScratch = new BigInt64Array(highestRank);

interface Shape {
  readonly dimensions: readonly number[];
  readonly length: number;
}

export class FfiTensor implements OrtTensor {
  readonly elementType: ElementType;
  readonly #lifetime: Lifetime;
  /** These two are read from the runtime on demand: most outputs only pass from graph to graph. */
  #shape: Shape | undefined;
  #data: TensorArray | undefined;
  /** The tensor in whose memory this one lies, where that memory is the runtime's. */
  readonly #owner: FfiTensor | undefined;

  private constructor(
    environment: OrtEnvironment,
    value: Pointer,
    elementType: ElementType,
    shape?: Shape,
    data?: TensorArray,
  ) {
    environment.retain();
    this.#lifetime = { environment, value, alive: true };
    this.elementType = elementType;
    this.#shape = shape;
    this.#data = data;
    this.#owner = data === undefined ? undefined : owners.get(data.buffer);
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
        // Asking for `buffer` moves a small array off the JavaScript heap, to an address that stays.
        data.buffer.byteLength === 0 ? null : data,
        data.byteLength,
        shapeScratch,
        dimensions.length,
        elementType.code,
        out,
      ),
    );
    return new FfiTensor(environment, value, elementType, { dimensions: [...dimensions], length }, data);
  }

  /** Takes over a value that a run allocated. */
  static adopt(environment: OrtEnvironment, value: Pointer, elementType: ElementType): FfiTensor {
    return new FfiTensor(environment, value, elementType);
  }

  get dimensions(): readonly number[] {
    return this.#readShape().dimensions;
  }

  get data(): TensorArray {
    if (!this.#lifetime.alive) throw this.#disposed();
    this.#data ??= this.#viewMemory();
    return this.#data;
  }

  /** The OrtValue, for a run; `side` and `name` say in an error which one was unusable. */
  handleFor(side: "Input" | "Output", name: string): Pointer {
    const lifetime = this.#lifetime;
    if (!lifetime.alive || this.#owner?.isDisposed) throw tensorDisposed(`${side} "${name}"`);
    const data = this.#data;
    if (data !== undefined && data.length !== this.#shape!.length) {
      throw tensorDetached(`${side} "${name}"`, this.#shape!.dimensions, data.length);
    }
    return lifetime.value;
  }

  get isDisposed(): boolean {
    return !this.#lifetime.alive;
  }

  dispose(): void {
    if (!this.#lifetime.alive) return;
    forgotten.unregister(this);
    end(this.#lifetime);
    this.#data = undefined;
  }

  #disposed(): Error {
    return tensorDisposed(`A tensor [${this.#shape?.dimensions.join(", ") ?? "of unread dimensions"}]`);
  }

  #readShape(): Shape {
    if (this.#shape) return this.#shape;
    const { environment, value, alive } = this.#lifetime;
    if (!alive) throw this.#disposed();
    const { functions } = environment;
    const info = take(functions, "describe an output", (out) => functions.GetTensorTypeAndShape(value, out));
    try {
      const rank = takeNumber(functions, "read an output's rank", (out) =>
        functions.GetDimensionsCount(info, out),
      );
      const sizes = new BigInt64Array(Math.max(1, rank));
      check(functions, functions.GetDimensions(info, sizes, rank), "read an output's dimensions");
      const dimensions = Array.from(sizes.subarray(0, rank), Number);
      const length = dimensions.reduce((product, dimension) => product * dimension, 1);
      this.#shape = { dimensions, length };
      return this.#shape;
    } finally {
      functions.ReleaseTensorTypeAndShapeInfo(info);
    }
  }

  #viewMemory(): TensorArray {
    const { environment, value } = this.#lifetime;
    const { construct, bytes } = this.elementType;
    const { length } = this.#readShape();
    if (length === 0) return new construct(new ArrayBuffer(0), 0, 0);
    const address = take(environment.functions, "read an output", (out) =>
      environment.functions.GetTensorMutableData(value, out),
    );
    const buffer = koffi.view(address, length * bytes);
    owners.set(buffer, this);
    return new construct(buffer, 0, length);
  }
}
