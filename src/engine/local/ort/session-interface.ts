/** @file Names and element types of a session's inputs and outputs, and the C arrays of names that a run takes. */

import koffi from "koffi";
import { type ElementType, elementTypeOf } from "./element-type.ts";
import type { OrtEnvironment } from "./environment.ts";
import type { OrtFunctions, Pointer, Status } from "./function-table.ts";
import { check, take, takeNumber } from "./status.ts";

export interface DeclaredTensor {
  readonly name: string;
  readonly elementType: ElementType;
}

export interface SessionInterface {
  readonly inputs: readonly DeclaredTensor[];
  readonly outputs: readonly DeclaredTensor[];
}

export function readInterface(environment: OrtEnvironment, session: Pointer): SessionInterface {
  const { functions, allocator } = environment;
  const read = (
    count: OrtFunctions["SessionGetInputCount"],
    name: OrtFunctions["SessionGetInputName"],
    type: OrtFunctions["SessionGetInputTypeInfo"],
  ): DeclaredTensor[] => {
    const length = takeNumber(functions, "count a graph's tensors", (out) => count(session, out));
    return Array.from({ length }, (_, i) => {
      const tensorName = readName(environment, (out) => name(session, i, allocator, out));
      const code = readElementType(functions, (out) => type(session, i, out));
      return { name: tensorName, elementType: elementTypeOf(code, tensorName) };
    });
  };
  return {
    inputs: read(
      functions.SessionGetInputCount,
      functions.SessionGetInputName,
      functions.SessionGetInputTypeInfo,
    ),
    outputs: read(
      functions.SessionGetOutputCount,
      functions.SessionGetOutputName,
      functions.SessionGetOutputTypeInfo,
    ),
  };
}

function readName({ functions, allocator }: OrtEnvironment, call: (out: BigUint64Array) => Status): string {
  const address = take(functions, "name a graph's tensor", call);
  const name = koffi.decode.string(address);
  check(functions, functions.AllocatorFree(allocator, address), "free a name");
  return name;
}

/** ONNXTensorElementDataType; 0 where the graph declares no tensor. */
function readElementType(functions: OrtFunctions, call: (out: BigUint64Array) => Status): number {
  const info = take(functions, "describe a graph's tensor", call);
  try {
    const tensor = take(functions, "describe a graph's tensor", (out) =>
      functions.CastTypeInfoToTensorInfo(info, out),
    );
    if (tensor === 0n) return 0;
    return takeNumber(functions, "describe a graph's tensor", (out) =>
      functions.GetTensorElementType(tensor, out),
    );
  } finally {
    functions.ReleaseTypeInfo(info);
  }
}

/** The bytes behind each table, kept as long as the table is. */
const bytesOf = new WeakMap<BigUint64Array, Uint8Array>();

/** A `const char* const*`: addresses of zero-terminated names, laid out once per session. */
export function nameTable(names: readonly string[]): BigUint64Array {
  const encoder = new TextEncoder();
  const encoded = names.map((name) => encoder.encode(name));
  const bytes = new Uint8Array(new ArrayBuffer(encoded.reduce((sum, name) => sum + name.length + 1, 1)));
  const start = BigInt(koffi.address(bytes));
  const table = new BigUint64Array(Math.max(1, names.length));
  let offset = 0;
  encoded.forEach((name, i) => {
    bytes.set(name, offset);
    table[i] = start + BigInt(offset);
    offset += name.length + 1;
  });
  bytesOf.set(table, bytes);
  return table;
}
