/**
 * @file Personalised PageRank over an undirected graph, by power iteration in float64.
 *
 *   r ← (1 − d) p + d ( Pᵀ r + p · Σ_{i without edges} r_i ),   P_ij = m_ij / Σ_k m_ik
 *
 * m_ij is the number of edges between i and j; a self loop counts once. What stands on a node without edges goes back to
 * the seeds, so that the sum stays 1. Source: Page et al. (1999), Haveliwala (2002); d = 0.85 and 100 iterations as in
 * MixRAGRec's code (Sjay-Wang/MixRAGRec).
 */

import { checkCount, KnowledgeGraphError } from "./errors.ts";

export interface PageRankOptions {
  /** d, 0 to 1. Default 0.85. */
  readonly damping?: number;
  /** Default 100. */
  readonly iterations?: number;
}

/**
 * @param nodes how many there are.
 * @param edges pairs of nodes, [edges][2]; parallel ones add up.
 * @param seeds p: nodes with their weights, normalised here; without seeds all nodes are seeds alike.
 * @returns [nodes], summing to 1; empty for a graph without nodes.
 */
export function personalisedPageRank(
  nodes: number,
  edges: readonly (readonly [number, number])[],
  seeds: ReadonlyMap<number, number> = new Map(),
  { damping = 0.85, iterations = 100 }: PageRankOptions = {},
): Float64Array {
  checkCount("personalisedPageRank", "iterations", iterations, 0);
  if (!(damping >= 0 && damping <= 1)) {
    throw new KnowledgeGraphError({
      code: "E_GRAPH_SETTING",
      message: `personalisedPageRank was given damping = ${damping}; it must lie between 0 and 1.`,
      hint: "leave it out for 0.85.",
      facts: { damping },
    });
  }
  const restart = new Float64Array(nodes);
  let total = 0;
  for (const [node, weight] of seeds) {
    if (!(node in restart) || !(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
      throw new KnowledgeGraphError({
        code: "E_GRAPH_SEED",
        message: `personalisedPageRank was given the seed ${node} with weight ${weight} in a graph of ${nodes} nodes.`,
        hint: "seeds are numbers of nodes, with finite weights of at least 0.",
        facts: { node, weight, nodes },
      });
    }
    restart[node]! += weight;
    total += weight;
  }
  if (total > 0) for (let i = 0; i < nodes; i++) restart[i]! /= total;
  else restart.fill(1 / nodes);

  const degree = new Float64Array(nodes);
  for (const [from, to] of edges) {
    degree[from]!++;
    if (to !== from) degree[to]!++;
  }
  let rank = restart.slice();
  for (let iteration = 0; iteration < iterations; iteration++) {
    const moved = new Float64Array(nodes);
    for (const [from, to] of edges) {
      moved[to]! += rank[from]! / degree[from]!;
      if (to !== from) moved[from]! += rank[to]! / degree[to]!;
    }
    let stranded = 0;
    for (let i = 0; i < nodes; i++) if (degree[i] === 0) stranded += rank[i]!;
    for (let i = 0; i < nodes; i++)
      moved[i] = (1 - damping) * restart[i]! + damping * (moved[i]! + stranded * restart[i]!);
    rank = moved;
  }
  return rank;
}
