/**
 * @file Expert 2 of MixRAGRec (arXiv 2605.28175; numbers from its code, Sjay-Wang/MixRAGRec): the k triples whose text is
 * nearest to the query by cosine.
 */

import { byScore, type EmbeddedGraph } from "./embedded-graph.ts";
import { checkCount } from "./errors.ts";
import { type RetrievalExpert, unknownSeedsOf } from "./expert.ts";

export interface TopTriplesOptions {
  /** k. Default 3 (MixRAGRec). */
  readonly limit?: number;
  /**
   * Whether only triples that touch a seed of the query count, where it has seeds. Default false: the whole graph, as in
   * MixRAGRec.
   */
  readonly atSeeds?: boolean;
}

export function topTriples(
  embedded: EmbeddedGraph,
  { limit = 3, atSeeds = false }: TopTriplesOptions = {},
): RetrievalExpert {
  checkCount("topTriples", "limit", limit, 0);
  const { graph } = embedded;
  return (query) => {
    const { triples: nearness } = embedded.nearness(query.text);
    const seeds = atSeeds ? query.seeds : undefined;
    const places =
      seeds === undefined
        ? [...graph.triples.keys()]
        : [...new Set(seeds.flatMap((name) => graph.edgesAt(graph.entity(name) ?? -1)))];
    return {
      triples: byScore(places, (place) => nearness[place]!)
        .slice(0, limit)
        .map((place) => graph.triples[place]!),
      unknownSeeds: unknownSeedsOf(graph, query),
    };
  };
}
