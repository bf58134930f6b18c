/** @file ONNX Runtime's C API through koffi: no copies, a few microseconds a run. */

import type { OrtBackend, OrtSession, OrtTensor, SessionOptions, TensorArray } from "./backend.ts";
import { type EnvironmentSettings, OrtEnvironment } from "./environment.ts";
import { backendDisposed } from "./errors.ts";
import { FfiSession, type GraphOptimization } from "./ffi-session.ts";
import { FfiTensor } from "./ffi-tensor.ts";
import { loadLibrary, type OrtLibrary } from "./library.ts";

export interface FfiSettings extends EnvironmentSettings {
  readonly graphOptimization: GraphOptimization;
  /** Default: that of onnxruntime-node, or TROUPE_ORT_LIBRARY. */
  readonly libraryPath?: string;
}

export class FfiBackend implements OrtBackend {
  readonly kind = "ffi";
  readonly version: string;
  readonly #environment: OrtEnvironment;
  readonly #graphOptimization: GraphOptimization;
  #alive = true;

  constructor(settings: FfiSettings) {
    const library: OrtLibrary = loadLibrary(settings.libraryPath);
    this.version = library.version;
    this.#environment = OrtEnvironment.create(library, settings);
    this.#graphOptimization = settings.graphOptimization;
  }

  tensor(data: TensorArray, dimensions: readonly number[]): OrtTensor {
    if (!this.#alive) throw backendDisposed();
    return FfiTensor.over(this.#environment, data, dimensions);
  }

  async createSession(model: Uint8Array, options: SessionOptions = {}): Promise<OrtSession> {
    if (!this.#alive) throw backendDisposed();
    return new FfiSession(this.#environment, model, { graphOptimization: this.#graphOptimization, options });
  }

  /** Sessions and tensors that are still in use stay usable; the last of them frees the environment. */
  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#environment.release();
  }
}
