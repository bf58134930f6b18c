/** @file The last step of the handshake: one product of 2×2 matrices, before the function table is trusted. */

import { GraphBuilder } from "../graph/graph-builder.ts";
import type { OrtSession, OrtTensor, TensorArray } from "./backend.ts";
import { OrtLibraryError } from "./errors.ts";

/** [a b] → a·b. */
export function probeModel(): Uint8Array {
  const graph = new GraphBuilder();
  const a = graph.input("a", "float32", [2, 2]);
  const b = graph.input("b", "float32", [2, 2]);
  graph.output(graph.op("MatMul", [a, b]), [2, 2], "product");
  return graph.build();
}

export function probe(
  session: OrtSession,
  tensor: (data: TensorArray, dimensions: readonly number[]) => OrtTensor,
  version: string,
): void {
  const a = tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const b = tensor(Float32Array.of(5, 6, 7, 8), [2, 2]);
  const product = tensor(new Float32Array(4), [2, 2]);
  session.run([a, b], [product]);
  const got = [...product.data].join();
  for (const each of [a, b, product]) each.dispose();
  if (got === "19,22,43,50") return;
  throw new OrtLibraryError({
    code: "E_ORT_LIBRARY",
    message: `ONNX Runtime ${version} answers [1 2; 3 4]·[5 6; 7 8] with [${got}] instead of [19,22,43,50].`,
    hint: "unset TROUPE_ORT_LIBRARY to use the library that comes with onnxruntime-node.",
    facts: { version, got },
  });
}
