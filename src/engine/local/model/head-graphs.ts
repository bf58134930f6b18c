/**
 * @file The graphs of the head. With h' = h / temperature and z = h'·Wᵀ, the gradient of a target's log-prob is
 * ∂ℓ/∂z = onehot(target) − softmax(z), and that of the entropy H is −P·(log P + H). Whatever the loss, its negated
 * gradient A = −∂L/∂z is all that the last graph needs.
 *
 * Passes over [n, V], which is where the time goes beside the three matrix products: softmax is one (in place,
 * and a row stays in cache); the one-hot is n scalars written from JavaScript; factors per row are applied to
 * [n, D] instead.
 */

import { GraphBuilder } from "../graph/graph-builder.ts";
import { gemm, reduceSum } from "../graph/operations.ts";

export interface HeadSize {
  readonly hiddenSize: number;
  readonly vocabularySize: number;
}

/** hidden [n, D], scale [n, 1], weight [V, D] → z [n, V]. */
export function logitsGraph({ hiddenSize, vocabularySize }: HeadSize): Uint8Array {
  const graph = new GraphBuilder();
  const hidden = graph.input("hidden", "float32", ["n", hiddenSize]);
  const scale = graph.input("scale", "float32", ["n", 1]);
  const weight = graph.input("weight", "float32", [vocabularySize, hiddenSize]);
  const scaled = graph.op("Mul", [hidden, scale]);
  graph.output(gemm(graph, scaled, weight, { transB: true }), ["n", vocabularySize], "logits");
  return graph.build();
}

/** x [n, V] → softmax or its logarithm, row by row. The output may be the input's memory. */
export function softmaxGraph(type: "Softmax" | "LogSoftmax", { vocabularySize }: HeadSize): Uint8Array {
  const graph = new GraphBuilder();
  const logits = graph.input("logits", "float32", ["n", vocabularySize]);
  graph.output(graph.op(type, [logits], { attributes: { axis: -1 } }), ["n", vocabularySize], "result");
  return graph.build();
}

/** log P [n, V] → H [n, 1]. */
export function entropyGraph({ vocabularySize }: HeadSize): Uint8Array {
  const graph = new GraphBuilder();
  const logarithm = graph.input("logarithm", "float32", ["n", vocabularySize]);
  const product = graph.op("Mul", [graph.op("Exp", [logarithm]), logarithm]);
  graph.output(graph.op("Neg", [reduceSum(graph, product, 1, true)]), ["n", 1], "entropy");
  return graph.build();
}

/**
 * log P [n, V], ∂L/∂ℓ [n, 1], ∂L/∂H [n, 1] → P·(∂L/∂ℓ + ∂L/∂H·(log P + H)), which is A but for the one-hot part.
 * The output may be the memory of log P: it is written by the last node, which does not read it.
 */
export function entropySlopeGraph({ vocabularySize }: HeadSize): Uint8Array {
  const graph = new GraphBuilder();
  const logarithm = graph.input("logarithm", "float32", ["n", vocabularySize]);
  const forLogprob = graph.input("forLogprob", "float32", ["n", 1]);
  const forEntropy = graph.input("forEntropy", "float32", ["n", 1]);
  const probability = graph.op("Exp", [logarithm]);
  const negatedEntropy = reduceSum(graph, graph.op("Mul", [probability, logarithm]), 1, true);
  const constant = graph.op("Sub", [forLogprob, graph.op("Mul", [forEntropy, negatedEntropy])]);
  const slope = graph.op("Add", [graph.op("Mul", [logarithm, forEntropy]), constant]);
  graph.output(graph.op("Mul", [slope, probability]), ["n", vocabularySize], "negatedGradient");
  return graph.build();
}

/**
 * A [n, V] up to the factor of each row, hidden [n, D], scale [n, 1], factor [n, 1] = −(factor of the row),
 * weight [V, D] → ∂L/∂hidden [n, D]; and, where trained, the accumulator [V, D] with ∂L/∂W added.
 */
export function headGradientGraph(
  { hiddenSize, vocabularySize }: HeadSize,
  outputs: "hidden" | "hidden and weight",
): Uint8Array {
  const graph = new GraphBuilder();
  const negatedGradient = graph.input("negatedGradient", "float32", ["n", vocabularySize]);
  const hidden = graph.input("hidden", "float32", ["n", hiddenSize]);
  const scale = graph.input("scale", "float32", ["n", 1]);
  const factor = graph.input("factor", "float32", ["n", 1]);
  const weight = graph.input("weight", "float32", [vocabularySize, hiddenSize]);
  const both = graph.op("Mul", [scale, factor]);
  const back = gemm(graph, negatedGradient, weight);
  graph.output(graph.op("Mul", [back, both]), ["n", hiddenSize], "hiddenGradient");
  if (outputs === "hidden and weight") {
    const sum = graph.input("sum", "float32", [vocabularySize, hiddenSize]);
    const rows = graph.op("Mul", [hidden, both]);
    const added = gemm(graph, negatedGradient, rows, { c: sum, transA: true });
    graph.output(added, [vocabularySize, hiddenSize], "weightGradient");
  }
  return graph.build();
}
