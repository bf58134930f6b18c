/** @file What can go wrong between the engine and ONNX Runtime, one class for each place where it does. */

import { TroupeError } from "../../../errors.ts";

/** The shared library is missing, too old, or does not answer as its header says. `E_ORT_LIBRARY`. */
export class OrtLibraryError extends TroupeError {}

/** The runtime refused a call; its own text is in the message, its code in `facts.status`. `E_ORT_STATUS`. */
export class OrtStatusError extends TroupeError {}

/** A tensor or session was used in a way that the C API would answer with a crash. `E_TENSOR_*`, `E_SESSION_*`. */
export class OrtUsageError extends TroupeError {}

/** A kernel gave a wrong number at start-up. `E_ORT_SELF_TEST`. */
export class OrtSelfTestError extends TroupeError {}

/** OrtErrorCode, in the order of the header. */
const statusNames = [
  "OK",
  "FAIL",
  "INVALID_ARGUMENT",
  "NO_SUCHFILE",
  "NO_MODEL",
  "ENGINE_ERROR",
  "RUNTIME_EXCEPTION",
  "INVALID_PROTOBUF",
  "MODEL_LOADED",
  "NOT_IMPLEMENTED",
  "INVALID_GRAPH",
  "EP_FAIL",
  "MODEL_LOAD_CANCELED",
  "MODEL_REQUIRES_COMPILATION",
  "NOT_FOUND",
] as const;

export const statusName = (code: number): string => statusNames[code] ?? `status ${code}`;

const hints: Readonly<Record<string, string>> = {
  INVALID_ARGUMENT: "compare the tensors' types and dimensions with the inputs and outputs of the graph.",
  INVALID_GRAPH: "the graph builder emitted an operator that this library does not know, or wrong types.",
  INVALID_PROTOBUF: "the bytes are no ONNX model; build them with GraphBuilder.build().",
  NO_MODEL: "the bytes are no ONNX model; build them with GraphBuilder.build().",
  NOT_IMPLEMENTED: "this library lacks a CPU kernel; unset TROUPE_ORT_LIBRARY to use the bundled one.",
  RUNTIME_EXCEPTION: "if the text speaks of memory, lower the tokens of a microbatch or the sampling slots.",
};

/** `status` is absent where a binding reports only text. */
export function statusError(
  operation: string,
  status: number | undefined,
  text: string,
  detail = "",
): OrtStatusError {
  const name = status === undefined ? undefined : statusName(status);
  const hint = name === undefined ? undefined : hints[name];
  return new OrtStatusError({
    code: "E_ORT_STATUS",
    message: `ONNX Runtime refused to ${operation}${name ? ` (${name})` : ""}: ${text.trim()}${detail}`,
    ...(hint === undefined ? {} : { hint }),
    facts: { operation, status, statusName: name, text },
  });
}

export function tensorDisposed(place: string): OrtUsageError {
  return new OrtUsageError({
    code: "E_TENSOR_DISPOSED",
    message: `${place} is a tensor that was disposed before.`,
    hint: "dispose a tensor only after the last run that reads it.",
    facts: { place },
  });
}

export function tensorDetached(place: string, dimensions: readonly number[], length: number): OrtUsageError {
  return new OrtUsageError({
    code: "E_TENSOR_DETACHED",
    message:
      `${place}: the array behind the tensor [${dimensions.join(", ")}] now has ${length} elements; ` +
      "its buffer was transferred to another thread or resized.",
    hint: "post a copy (array.slice()) or use a SharedArrayBuffer.",
    facts: { place, dimensions, length },
  });
}

export function tensorForeign(place: string): OrtUsageError {
  return new OrtUsageError({
    code: "E_TENSOR_FOREIGN",
    message: `${place} is no tensor of this backend.`,
    hint: "make it with backend.tensor(), or take it from a run of one of this backend's sessions.",
    facts: { place },
  });
}

export function tensorShape(dimensions: readonly number[], length: number, reason: string): OrtUsageError {
  return new OrtUsageError({
    code: "E_TENSOR_SHAPE",
    message: `A tensor of dimensions [${dimensions.join(", ")}] over ${length} elements: ${reason}.`,
    hint: "pass a subarray of exactly the product of the dimensions.",
    facts: { dimensions, length },
  });
}

export function tensorType(description: string): OrtUsageError {
  return new OrtUsageError({
    code: "E_TENSOR_TYPE",
    message: `A tensor cannot lie over ${description}.`,
    hint: "use a Float32Array, Int32Array, BigInt64Array or (for booleans) Uint8Array of fixed length.",
    facts: { description },
  });
}

export function sessionDisposed(): OrtUsageError {
  return new OrtUsageError({
    code: "E_SESSION_DISPOSED",
    message: "A session was run after it was disposed.",
    hint: "dispose a session only after its last run.",
  });
}

export function backendDisposed(): OrtUsageError {
  return new OrtUsageError({
    code: "E_BACKEND_DISPOSED",
    message: "The ONNX Runtime backend was used after it was disposed.",
    hint: "open another one with openBackend().",
  });
}

export function sessionArity(
  side: "inputs" | "outputs",
  got: number,
  names: readonly string[],
): OrtUsageError {
  return new OrtUsageError({
    code: "E_SESSION_ARITY",
    message: `A run got ${got} ${side}; the graph declares ${names.length}: ${names.join(", ")}.`,
    hint: `pass one entry for each, in that order${side === "outputs" ? " (null lets the runtime allocate)" : ""}.`,
    facts: { side, got, names },
  });
}
