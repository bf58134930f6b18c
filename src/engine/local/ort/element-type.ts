/** @file The element types that graphs exchange with JavaScript, by ONNX code and by array class. */

import type { TensorArray } from "./backend.ts";
import { OrtUsageError, tensorType } from "./errors.ts";

export interface ElementType {
  readonly name: "float32" | "int32" | "int64" | "bool";
  /** ONNXTensorElementDataType; the same numbers as TensorProto.DataType. */
  readonly code: number;
  readonly bytes: number;
  readonly construct: new (buffer: ArrayBuffer, offset: number, length: number) => TensorArray;
}

export const elementTypes: readonly ElementType[] = [
  { name: "float32", code: 1, bytes: 4, construct: Float32Array },
  { name: "int32", code: 6, bytes: 4, construct: Int32Array },
  { name: "int64", code: 7, bytes: 8, construct: BigInt64Array },
  { name: "bool", code: 9, bytes: 1, construct: Uint8Array },
];

export function requireElementType(data: TensorArray): ElementType {
  for (const type of elementTypes) if (data instanceof type.construct) return type;
  const given: unknown = data;
  throw tensorType(
    typeof given === "object" && given !== null ? (given.constructor?.name ?? "Object") : typeof given,
  );
}

/** By ONNX code, for the tensor of that name in a graph; 0 stands for something that is no tensor. */
export function elementTypeOf(code: number, name: string): ElementType {
  const type = elementTypes.find((each) => each.code === code);
  if (type) return type;
  throw new OrtUsageError({
    code: "E_TENSOR_TYPE",
    message: `The graph declares "${name}" with ONNX element type ${code}, which does not cross to JavaScript.`,
    hint: `cast it inside the graph to one of ${elementTypes.map((each) => each.name).join(", ")}.`,
    facts: { name, code },
  });
}
