/**
 * @file Expert 3 of MixRAGRec (arXiv 2605.28175; numbers from its code, Sjay-Wang/MixRAGRec): the subgraph of up to two
 * hops round the seeds, with at most 20 new entities a hop. CHOSEN: its triples come nearest to the query first, and at
 * most `limit` of them.
 */

import { byScore, type EmbeddedGraph } from "./embedded-graph.ts";
import { checkCount } from "./errors.ts";
import { type RetrievalExpert, seedsOf } from "./expert.ts";
import { type NeighbourhoodOptions, neighbourhood } from "./neighbourhood.ts";

export interface SubgraphOptions extends NeighbourhoodOptions {
  /** Triples of the evidence, at most. Default 20 (CHOSEN). */
  readonly limit?: number;
}

export function subgraph(embedded: EmbeddedGraph, options: SubgraphOptions = {}): RetrievalExpert {
  const { limit = 20 } = options;
  checkCount("subgraph", "limit", limit, 0);
  const { graph } = embedded;
  return (query) => {
    const nearness = embedded.nearness(query.text);
    const { seeds, unknownSeeds } = seedsOf(embedded, query, nearness);
    const { triples } = neighbourhood(graph, seeds, nearness, options);
    const best = byScore(triples, (place) => nearness.triples[place]!).slice(0, limit);
    return { triples: best.map((place) => graph.triples[place]!), unknownSeeds };
  };
}
