/** @file Small graphs that several tests of the bindings share. */

import {
  type DataType,
  type Dimension,
  GraphBuilder,
} from "../../../../src/engine/local/graph/graph-builder.ts";

/** One node; inputs are named a, b, c, …, the output y. */
export function oneNode(
  kernel: string,
  inputs: readonly (readonly [DataType, readonly Dimension[]])[],
  output: readonly [DataType, readonly Dimension[]],
  options: Parameters<GraphBuilder["op"]>[2] = {},
): Uint8Array {
  const graph = new GraphBuilder();
  const values = inputs.map(([type, dimensions], i) =>
    graph.input(String.fromCharCode(97 + i), type, dimensions),
  );
  graph.output(graph.op(kernel, values, { types: [output[0]], ...options }), output[1], "y");
  return graph.build();
}

/** y = −a for any length; fast, and right or wrong at a glance. */
export const negation = (): Uint8Array => oneNode("Neg", [["float32", ["n"]]], ["float32", ["n"]]);

/** y = a·b, [n, 3] by [3, 2]. */
export const multiplication = (): Uint8Array =>
  oneNode(
    "MatMul",
    [
      ["float32", ["n", 3]],
      ["float32", [3, 2]],
    ],
    ["float32", ["n", 2]],
  );
