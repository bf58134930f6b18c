/**
 * @file What the engine needs of ONNX Runtime, and no more. Two implementations: `ffi` (the C API through koffi:
 * no copies) and `stock` (onnxruntime-node: fallback and test oracle).
 */

export type TensorArray = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/**
 * A tensor over memory that JavaScript owns (`tensor`) or that the runtime allocated (an output that was asked
 * for with `null`). Views are zero-copy: writes to `data` are seen by the next run.
 */
export interface OrtTensor {
  readonly dimensions: readonly number[];
  /** The elements, in place. For runtime-owned memory the view dies with `dispose`: later it shows other tensors. */
  readonly data: TensorArray;
  dispose(): void;
}

export interface OrtSession {
  /** In the order in which the graph declares them. */
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the graph on this thread. `inputs[i]` belongs to `inputNames[i]`; `outputs[i]` is written in place, and
   * where it is `null` the runtime allocates (the caller disposes). An output may alias an input only where the
   * graph reads it no later than it writes (Gemm's C, elementwise).
   */
  run(inputs: readonly OrtTensor[], outputs: readonly (OrtTensor | null)[]): OrtTensor[];
  dispose(): void;
}

export interface SessionOptions {
  /** Default: the backend's. */
  readonly threads?: number;
  /** Release unused arena memory after each run of this session (large, rare graphs). Default false. */
  readonly shrinkArena?: boolean;
}

export interface OrtBackend {
  readonly kind: "ffi" | "stock";
  /** Version of the loaded library, for example "1.30.0". */
  readonly version: string;
  /** A tensor over `data`, which must hold exactly the product of `dimensions`; no copy. */
  tensor(data: TensorArray, dimensions: readonly number[]): OrtTensor;
  /** Loads a graph, from bytes that are not needed afterwards. Sessions are made before the hot path. */
  createSession(model: Uint8Array, options?: SessionOptions): Promise<OrtSession>;
  dispose(): void;
}
