/** @file ONNX Runtime's C API through koffi: no copies, a few microseconds a run. */

import type { OrtBackend, OrtSession, OrtTensor, SessionOptions, TensorArray } from "./backend.ts";
import { OrtEnvironment, type PoolSettings } from "./environment.ts";
import { backendDisposed, OrtStatusError } from "./errors.ts";
import { FfiSession } from "./ffi-session.ts";
import { FfiTensor } from "./ffi-tensor.ts";
import type { GraphOptimization } from "./graph-optimization.ts";
import { loadLibrary } from "./library.ts";
import { probe, probeModel } from "./probe.ts";

export interface FfiSettings extends PoolSettings {
  readonly graphOptimization: GraphOptimization;
  /** One arena for all sessions instead of one each. */
  readonly sharedArena: boolean;
  /** Default: that of onnxruntime-node, or TROUPE_ORT_LIBRARY. */
  readonly libraryPath?: string;
}

export class FfiBackend implements OrtBackend {
  readonly kind = "ffi";
  readonly version: string;
  readonly #environment: OrtEnvironment;
  readonly #settings: FfiSettings;
  #sharesPool: boolean;
  #alive = true;

  constructor(settings: FfiSettings) {
    const library = loadLibrary(settings.libraryPath);
    this.version = library.version;
    this.#settings = settings;
    this.#environment = OrtEnvironment.open(library, settings);
    this.#sharesPool = this.#environment.hasPool(settings);
    try {
      if (settings.sharedArena) this.#environment.shareArena();
      const session = this.#firstSession();
      probe(session, (data, dimensions) => this.tensor(data, dimensions), this.version);
      session.dispose();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  tensor(data: TensorArray, dimensions: readonly number[]): OrtTensor {
    if (!this.#alive) throw backendDisposed();
    return FfiTensor.over(this.#environment, data, dimensions);
  }

  async createSession(model: Uint8Array, options: SessionOptions = {}): Promise<OrtSession> {
    if (!this.#alive) throw backendDisposed();
    return this.#session(model, options);
  }

  /** Sessions and tensors that are still in use stay usable; the last of them frees the environment. */
  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#environment.release();
  }

  /** An environment that onnxruntime-node made first has no pool to share; then each session has its own. */
  #firstSession(): OrtSession {
    const model = probeModel();
    try {
      return this.#session(model, {});
    } catch (error) {
      if (!(this.#sharesPool && error instanceof OrtStatusError)) throw error;
      this.#sharesPool = false;
      return this.#session(model, {});
    }
  }

  #session(model: Uint8Array, options: SessionOptions): OrtSession {
    const { graphOptimization, sharedArena, spinning } = this.#settings;
    const threads = options.threads ?? this.#settings.threads;
    const ownPool = this.#sharesPool && threads === this.#settings.threads ? null : { threads, spinning };
    const shrinkArena = options.shrinkArena ?? false;
    return new FfiSession(this.#environment, model, { graphOptimization, sharedArena, ownPool, shrinkArena });
  }
}
