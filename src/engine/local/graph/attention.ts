/**
 * @file Scaled dot-product attention with grouped keys and values on the tape. Heads of one group are rows of one
 * matrix product ([R, KV, group·T, headSize]), so keys and values are never repeated in memory.
 */

import type { GraphBuilder, Value } from "./graph-builder.ts";
import { addTo, batchedMatmul, join, prefix, reduceSum, sizes, split } from "./operations.ts";
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

/** The opposite of `splitHeads`: [R, heads, T, headSize] → [R·T, heads·headSize]. */
export function mergeHeads(tape: Tape, x: Variable, grid: Variable, name?: string): Variable {
  const [, heads, , headSize] = x.dimensions as [string, number, string, number];
  const shape = sizes(tape, grid, [{ axis: 0 }, { axis: 1 }, heads, headSize]);
  return tape.record({
    inputs: [x],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: ["M", heads * headSize] }],
    emit: (graph, inputs) => {
      const rows = graph.op("Transpose", inputs, { attributes: { perm: [0, 2, 1, 3] } });
      return [graph.op("Reshape", [rows, graph.int64s([-1, heads * headSize])])];
    },
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => {
        const rows = graph.op("Reshape", [gradient, read(shape)]);
        return addTo(graph, sum, graph.op("Transpose", [rows], { attributes: { perm: [0, 2, 1, 3] } }));
      }),
  })[0]!;
}

export interface AttentionInputs {
  /** [R, heads, T, headSize] */
  readonly query: Variable;
  /** [R, keyValueHeads, T, headSize] each */
  readonly key: Variable;
  readonly value: Variable;
  /** [R, 1, T, T], added to the scores. */
  readonly mask: Variable;
}

/**
 * Causal attention, softmax(query·keyᵀ/√headSize + mask)·value → [R, heads, T, headSize].
 *
 * With `blocks` > 1 the queries are taken in that many runs of T, each against the keys up to its own end: scores
 * take that factor less memory, and (blocks + 1) / (2·blocks) of the work, at the price of copies of keys and values.
 * The results of the runs are named `${name}.0`, `${name}.1`, …; only they, q, k and v need to be saved.
 */
export function attention(
  tape: Tape,
  { query, key, value, mask }: AttentionInputs,
  shape: HeadShape,
  name: string,
  blocks = 1,
): Variable {
  const queries = split(tape, query, 2, blocks);
  const masks = split(tape, mask, 2, blocks);
  const contexts = queries.map((part, block) =>
    attend(
      tape,
      {
        query: part,
        key: prefix(tape, key, 2, block + 1, blocks),
        value: prefix(tape, value, 2, block + 1, blocks),
        mask: prefix(tape, masks[block]!, 3, block + 1, blocks),
      },
      shape,
      `${name}.${block}`,
    ),
  );
  return join(tape, contexts, 2, query);
}

/**
 * softmax(query·keyᵀ/√headSize + mask)·value, for t queries of s keys.
 *
 * Backward, with P the probabilities, O the result and dO its gradient: dV = Pᵀ·dO; dS = P∘(dO·Vᵀ − δ) with
 * δ = rowsum(dO∘O), which needs no pass over [t, s] (Dao et al., 2022); dQ = dS·K/√h; dK = dSᵀ·Q/√h. P is computed
 * again.
 */
function attend(
  tape: Tape,
  { query, key, value, mask }: AttentionInputs,
  { heads, keyValueHeads, headSize }: HeadShape,
  name: string,
): Variable {
  const scale = 1 / Math.sqrt(headSize);
  const [batch, time, seen] = [0, 2, 3].map((axis) => ({ axis })) as [Axis, Axis, Axis];
  // Views of the same elements: [R, heads, t, s], [R, KV, group·t, s], [R, heads, t, headSize].
  const perHead = sizes(tape, mask, [batch, heads, time, seen]);
  const perGroup = sizes(tape, mask, [batch, keyValueHeads, -1, seen]);
  const headRows = sizes(tape, mask, [batch, heads, time, headSize]);
  const merge = (graph: GraphBuilder, x: Value): Value =>
    graph.op("Reshape", [x, graph.int64s([0, keyValueHeads, -1, headSize])]);

  const [probabilities] = tape.record({
    inputs: [query, key, mask, perHead],
    outputs: [{ name: `${name}.probabilities`, dimensions: mask.dimensions.with(1, heads) }],
    emit: (graph, [q, k, m, toHeads]) => {
      const scores = batchedMatmul(graph, merge(graph, q!), k!, { transB: true, alpha: scale });
      const masked = graph.op("Add", [graph.op("Reshape", [scores, toHeads!]), m!]);
      return [graph.op("Softmax", [masked], { attributes: { axis: -1 } })];
    },
  });

  const [context] = tape.record({
    inputs: [probabilities!, value, perGroup, headRows, query, key],
    outputs: [{ name, dimensions: query.dimensions }],
    emit: (graph, [p, v, toGroups, toRows]) => {
      const mixed = batchedMatmul(graph, graph.op("Reshape", [p!, toGroups!]), v!);
      return [graph.op("Reshape", [mixed, toRows!])];
    },
    vjp: ({ graph, read, contribute }, gradient) => {
      const grouped = merge(graph, gradient);
      const p = graph.op("Reshape", [read(probabilities!), read(perGroup)]);
      contribute(value, (sum) => addTo(graph, sum, batchedMatmul(graph, p, grouped, { transA: true })));
      const delta = reduceSum(graph, graph.op("Mul", [gradient, read(context!)]), -1, true);
      const toProbabilities = batchedMatmul(graph, grouped, read(value), { transB: true });
      const centred = graph.op("Sub", [graph.op("Reshape", [toProbabilities, read(perHead)]), delta]);
      const scores = graph.op("Mul", [p, graph.op("Reshape", [centred, read(perGroup)])]);
      contribute(query, (sum) => {
        const flat = batchedMatmul(graph, scores, read(key), { alpha: scale });
        return addTo(graph, sum, graph.op("Reshape", [flat, read(headRows)]));
      });
      contribute(key, (sum) => {
        const q = merge(graph, read(query));
        return addTo(graph, sum, batchedMatmul(graph, scores, q, { transA: true, alpha: scale }));
      });
    },
  });
  return context!;
}

interface Axis {
  readonly axis: number;
}
