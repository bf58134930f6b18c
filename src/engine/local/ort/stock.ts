/**
 * @file The same interface over the stock binding, onnxruntime-node: fallback where koffi cannot load, and the test
 * oracle. Its public `run` is asynchronous in form only; the native session below it is called directly here.
 *
 * Preallocated outputs are written in place, but this binding also copies every output into a fresh array, which
 * costs most of the time of large outputs. It refuses SharedArrayBuffers and takes no library of the user's.
 */

import { createRequire } from "node:module";
import type { OrtBackend, OrtSession, OrtTensor, SessionOptions, TensorArray } from "./backend.ts";
import { requireElementType } from "./element-type.ts";
import type { PoolSettings } from "./environment.ts";
import {
  backendDisposed,
  OrtLibraryError,
  type OrtStatusError,
  sessionArity,
  sessionDisposed,
  statusError,
  tensorDetached,
  tensorDisposed,
  tensorForeign,
} from "./errors.ts";
import type { GraphOptimization } from "./graph-optimization.ts";
import { probe, probeModel } from "./probe.ts";
import { elementCount, requireFixedLength } from "./tensor-checks.ts";

/** What is used of onnxruntime-node. */
interface StockTensorValue {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TensorArray;
}
interface NativeSession {
  loadModel(buffer: ArrayBufferLike, offset: number, length: number, options: object): void;
  readonly inputMetadata: readonly { readonly name: string }[];
  readonly outputMetadata: readonly { readonly name: string }[];
  run(
    feeds: Readonly<Record<string, StockTensorValue>>,
    fetches: Readonly<Record<string, StockTensorValue | null>>,
    options: object,
  ): Record<string, StockTensorValue>;
  dispose(): void;
}
interface StockModule {
  readonly Tensor: new (type: string, data: TensorArray, dimensions: readonly number[]) => StockTensorValue;
  readonly env: { logLevel: string; readonly versions: { readonly node?: string } };
}
interface StockBinding {
  readonly binding: { readonly InferenceSession: new () => NativeSession };
  initOrt(): void;
}

export interface StockSettings extends PoolSettings {
  readonly graphOptimization: GraphOptimization;
}

class StockTensor implements OrtTensor {
  readonly dimensions: readonly number[];
  readonly #length: number;
  #value: StockTensorValue | null;

  constructor(value: StockTensorValue) {
    this.#value = value;
    this.dimensions = value.dims;
    this.#length = value.data.length;
  }

  get data(): TensorArray {
    if (!this.#value) throw tensorDisposed(`A tensor [${this.dimensions.join(", ")}]`);
    return this.#value.data;
  }

  valueFor(side: "Input" | "Output", name: string): StockTensorValue {
    if (!this.#value) throw tensorDisposed(`${side} "${name}"`);
    const { length } = this.#value.data;
    if (length !== this.#length) throw tensorDetached(`${side} "${name}"`, this.dimensions, length);
    return this.#value;
  }

  dispose(): void {
    this.#value = null;
  }
}

class StockSession implements OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  #native: NativeSession | null;

  constructor(native: NativeSession) {
    this.#native = native;
    this.inputNames = native.inputMetadata.map(({ name }) => name);
    this.outputNames = native.outputMetadata.map(({ name }) => name);
  }

  run(inputs: readonly OrtTensor[], outputs: readonly (OrtTensor | null)[]): OrtTensor[] {
    const { inputNames, outputNames } = this;
    if (!this.#native) throw sessionDisposed();
    if (inputs.length !== inputNames.length) throw sessionArity("inputs", inputs.length, inputNames);
    if (outputs.length !== outputNames.length) throw sessionArity("outputs", outputs.length, outputNames);
    const feeds: Record<string, StockTensorValue> = {};
    inputNames.forEach((name, i) => {
      const tensor = inputs[i];
      if (!(tensor instanceof StockTensor)) throw tensorForeign(`Input "${name}"`);
      feeds[name] = tensor.valueFor("Input", name);
    });
    const fetches: Record<string, StockTensorValue | null> = {};
    outputNames.forEach((name, i) => {
      const tensor = outputs[i]!;
      if (tensor !== null && !(tensor instanceof StockTensor)) throw tensorForeign(`Output "${name}"`);
      fetches[name] = tensor === null ? null : tensor.valueFor("Output", name);
    });
    let results: Record<string, StockTensorValue>;
    try {
      results = this.#native.run(feeds, fetches, {});
    } catch (error) {
      throw translated("run a graph", error);
    }
    return outputNames.map((name, i) => outputs[i] ?? new StockTensor(results[name]!));
  }

  dispose(): void {
    this.#native?.dispose();
    this.#native = null;
  }
}

/** The binding's messages carry the runtime's text but not its code. */
function translated(operation: string, error: unknown): OrtStatusError {
  return statusError(operation, undefined, error instanceof Error ? error.message : String(error));
}

export class StockBackend implements OrtBackend {
  readonly kind = "stock";
  readonly version: string;
  readonly #module: StockModule;
  readonly #binding: StockBinding["binding"];
  readonly #settings: StockSettings;
  #alive = true;

  constructor(settings: StockSettings) {
    const { module, binding } = loadStock();
    this.#module = module;
    this.#binding = binding;
    this.#settings = settings;
    this.version = module.env.versions.node ?? "unknown";
    const session = this.#session(probeModel(), {});
    probe(session, (data, dimensions) => this.tensor(data, dimensions), this.version);
    session.dispose();
  }

  tensor(data: TensorArray, dimensions: readonly number[]): OrtTensor {
    if (!this.#alive) throw backendDisposed();
    const type = requireElementType(data);
    elementCount(dimensions, data.length);
    requireFixedLength(data);
    return new StockTensor(new this.#module.Tensor(type.name, data, [...dimensions]));
  }

  async createSession(model: Uint8Array, options: SessionOptions = {}): Promise<OrtSession> {
    if (!this.#alive) throw backendDisposed();
    return this.#session(model, options);
  }

  /** Sessions and tensors that are still in use stay usable. */
  dispose(): void {
    this.#alive = false;
  }

  /** `shrinkArena` has no counterpart in this binding; each session keeps an arena of its own. */
  #session(model: Uint8Array, { threads = this.#settings.threads }: SessionOptions): OrtSession {
    const native = new this.#binding.InferenceSession();
    try {
      native.loadModel(model.buffer, model.byteOffset, model.byteLength, {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        enableMemPattern: false,
        graphOptimizationLevel: this.#settings.graphOptimization,
        logSeverityLevel: 4,
        extra: { "session.intra_op.allow_spinning": this.#settings.spinning ? "1" : "0" },
      });
    } catch (error) {
      throw translated("load a graph", error);
    }
    return new StockSession(native);
  }
}

function loadStock(): { module: StockModule; binding: StockBinding["binding"] } {
  const require = createRequire(import.meta.url);
  try {
    const module = require("onnxruntime-node") as StockModule;
    const { binding, initOrt } = require("onnxruntime-node/dist/binding") as StockBinding;
    module.env.logLevel = "fatal";
    initOrt();
    return { module, binding };
  } catch (cause) {
    throw new OrtLibraryError({
      code: "E_ORT_LIBRARY",
      message: `onnxruntime-node could not be loaded: ${(cause as Error).message}`,
      hint: "reinstall onnxruntime-node 1.30 for this platform.",
      cause,
    });
  }
}
