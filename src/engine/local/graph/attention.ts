/**
 * @file Scaled dot-product attention with grouped keys and values on the tape. Heads of one group are rows of one
 * matrix product ([R, KV, group·T, headSize]), so keys and values are never repeated in memory.
 */

import { addTo, batchedMatmul, reduceSum, sizes } from "./operations.ts";
import type { Tape, Variable } from "./tape.ts";

export interface HeadShape {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
}

/** x [R·T, heads·headSize] → [R, heads, T, headSize]. `grid` is any tensor whose first two axes are [R, T]. */
export function splitHeads(
  tape: Tape,
  x: Variable,
  grid: Variable,
  heads: number,
  headSize: number,
  name?: string,
): Variable {
  const shape = sizes(tape, grid, [{ axis: 0 }, { axis: 1 }, heads, headSize]);
  return tape.record({
    inputs: [x, shape],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: ["R", heads, "T", headSize] }],
    emit: (graph, inputs) => [
      graph.op("Transpose", [graph.op("Reshape", inputs)], { attributes: { perm: [0, 2, 1, 3] } }),
    ],
    vjp: ({ graph, contribute }, gradient) =>
      contribute(x, (sum) => {
        const rows = graph.op("Transpose", [gradient], { attributes: { perm: [0, 2, 1, 3] } });
        return addTo(graph, sum, graph.op("Reshape", [rows, graph.int64s([-1, heads * headSize])]));
      }),
  })[0]!;
}

/**
 * softmax(query·keyᵀ/√headSize + mask)·value, heads merged → [R·T, heads·headSize].
 *
 * Backward, with P the probabilities, O the result and dO its gradient: dV = Pᵀ·dO; dS = P∘(dO·Vᵀ − δ) with
 * δ = rowsum(dO∘O), which needs no pass over [T, T] (Dao et al., 2022); dQ = dS·K/√h; dK = dSᵀ·Q/√h.
 * Only q, k, v and O need to be saved; P is computed again.
 */
export function attention(
  tape: Tape,
  inputs: {
    readonly query: Variable;
    readonly key: Variable;
    readonly value: Variable;
    readonly mask: Variable;
  },
  shape: HeadShape,
  grid: Variable,
  name: string,
): Variable {
  const { query, key, value, mask } = inputs;
  const { heads, keyValueHeads, headSize } = shape;
  const scale = 1 / Math.sqrt(headSize);
  const rows = { axis: 0 };
  const time = { axis: 1 };
  // [R, KV, group·T, headSize], [R, heads, T, T] and [R, KV, group·T, T]: views of the same elements.
  const grouped = sizes(tape, grid, [rows, keyValueHeads, -1, headSize]);
  const perHead = sizes(tape, grid, [rows, heads, time, time]);
  const perGroup = sizes(tape, grid, [rows, keyValueHeads, -1, time]);
  const headRows = sizes(tape, grid, [rows, heads, time, headSize]);
  const interleaved = sizes(tape, grid, [rows, time, heads, headSize]);

  const [probabilities] = tape.record({
    inputs: [query, key, mask, grouped, perHead],
    outputs: [{ name: `${name}.probabilities`, dimensions: ["R", heads, "T", "T"] }],
    emit: (graph, [q, k, m, toGroups, toHeads]) => {
      const scores = batchedMatmul(graph, graph.op("Reshape", [q!, toGroups!]), k!, {
        transB: true,
        alpha: scale,
      });
      return [
        graph.op("Softmax", [graph.op("Add", [graph.op("Reshape", [scores, toHeads!]), m!])], {
          attributes: { axis: -1 },
        }),
      ];
    },
  });

  const [context] = tape.record({
    inputs: [probabilities!, value, query, key, perGroup, headRows],
    outputs: [{ name, dimensions: ["M", heads * headSize] }],
    emit: (graph, [p, v, , , toGroups, toHeads]) => {
      const mixed = batchedMatmul(graph, graph.op("Reshape", [p!, toGroups!]), v!);
      const merged = graph.op("Transpose", [graph.op("Reshape", [mixed, toHeads!])], {
        attributes: { perm: [0, 2, 1, 3] },
      });
      return [graph.op("Reshape", [merged, graph.int64s([-1, heads * headSize])])];
    },
    vjp: ({ graph, read, contribute }, gradient) => {
      const toInterleaved = read(interleaved);
      const toGroups = read(perGroup);
      const split = graph.op("Transpose", [graph.op("Reshape", [gradient, toInterleaved])], {
        attributes: { perm: [0, 2, 1, 3] },
      });
      const gradientGrouped = graph.op("Reshape", [split, read(grouped)]);
      const p = graph.op("Reshape", [read(probabilities!), toGroups]);
      contribute(value, (sum) =>
        addTo(graph, sum, batchedMatmul(graph, p, gradientGrouped, { transA: true })),
      );
      const product = graph.op("Reshape", [graph.op("Mul", [gradient, read(context!)]), toInterleaved]);
      const delta = graph.op("Transpose", [reduceSum(graph, product, -1, true)], {
        attributes: { perm: [0, 2, 1, 3] },
      });
      const toProbabilities = batchedMatmul(graph, gradientGrouped, read(value), { transB: true });
      const centred = graph.op("Sub", [graph.op("Reshape", [toProbabilities, read(perHead)]), delta]);
      const scores = graph.op("Mul", [p, graph.op("Reshape", [centred, toGroups])]);
      contribute(query, (sum) => {
        const flat = batchedMatmul(graph, scores, read(key), { alpha: scale });
        return addTo(graph, sum, graph.op("Reshape", [flat, read(headRows)]));
      });
      contribute(key, (sum) => {
        const q = graph.op("Reshape", [read(query), read(grouped)]);
        return addTo(graph, sum, batchedMatmul(graph, scores, q, { transA: true, alpha: scale }));
      });
    },
  });
  return context!;
}
