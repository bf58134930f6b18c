/** @file The element types that graphs exchange with JavaScript, by ONNX code and by array class. */

import type { TensorArray } from "./backend.ts";
import { tensorType } from "./errors.ts";

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

export const elementTypeName = (code: number): string =>
  elementTypes.find((type) => type.code === code)?.name ?? `element type ${code}`;
