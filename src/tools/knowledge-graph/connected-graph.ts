/**
 * @file Expert 4 of MixRAGRec (arXiv 2605.28175; numbers from its code, Sjay-Wang/MixRAGRec): the two-hop graph round the
 * seeds → personalised PageRank from the seeds (damping 0.85, 100 iterations) → a spanning tree by Kruskal over the
 * entities of highest rank, edge cost 1 − cos(query, relation).
 *
 * CHOSEN: how many entities the tree spans (`entities`, what the PageRank is for); the order of the evidence: the sum of
 * the ranks of a triple's ends that are no seeds, highest first, since the query knows its seeds and wants what they lead
 * to; the same order among edges of equal cost. Where the entities of highest rank do not hang together, each part gets a
 * tree of its own.
 */

import { byScore, type EmbeddedGraph } from "./embedded-graph.ts";
import { checkCount } from "./errors.ts";
import { type RetrievalExpert, seedsOf } from "./expert.ts";
import { type NeighbourhoodOptions, neighbourhood } from "./neighbourhood.ts";
import { type PageRankOptions, personalisedPageRank } from "./page-rank.ts";
import { spanningForest } from "./spanning-tree.ts";

export interface ConnectedGraphOptions extends NeighbourhoodOptions, PageRankOptions {
  /** Entities of highest rank that the tree spans, seeds included. Default 16 (CHOSEN). */
  readonly entities?: number;
  /** Whether the tree is the one of least cost (relations near to the query) or of greatest. Default "minimum". */
  readonly tree?: "minimum" | "maximum";
  /** Triples of the evidence, at most. Default 20 (CHOSEN). */
  readonly limit?: number;
}

export function connectedGraph(
  embedded: EmbeddedGraph,
  options: ConnectedGraphOptions = {},
): RetrievalExpert {
  const { entities = 16, tree = "minimum", limit = 20 } = options;
  checkCount("connectedGraph", "entities", entities, 0);
  checkCount("connectedGraph", "limit", limit, 0);
  const { graph } = embedded;
  return (query) => {
    const nearness = embedded.nearness(query.text);
    const { seeds, unknownSeeds } = seedsOf(embedded, query, nearness);
    const round = neighbourhood(graph, seeds, nearness, options);
    const members = [...round.distance.keys()];
    const nodeOf = new Map(members.map((entity, node) => [entity, node]));
    const ends = (place: number) =>
      [nodeOf.get(graph.subjects[place]!)!, nodeOf.get(graph.objects[place]!)!] as const;
    const rank = personalisedPageRank(
      members.length,
      round.triples.map(ends),
      new Map(seeds.map((_, node) => [node, 1])),
      options,
    );
    const kept = new Set(byScore([...members.keys()], (node) => rank[node]!).slice(0, entities));
    // Seeds are the first members.
    const weight = (place: number) =>
      ends(place).reduce((sum, node) => sum + (node < seeds.length ? 0 : rank[node]!), 0);
    const places = byScore(
      round.triples.filter((place) => ends(place).every((node) => kept.has(node))),
      weight,
    );
    const edges = places.map((place) => {
      const [from, to] = ends(place);
      return { from, to, cost: 1 - nearness.relations[place]! };
    });
    const chosen = spanningForest(members.length, edges, tree).map((edge) => places[edge]!);
    const best = chosen.slice(0, limit);
    return { triples: best.map((place) => graph.triples[place]!), unknownSeeds };
  };
}
