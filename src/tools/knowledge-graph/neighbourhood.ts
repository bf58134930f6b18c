/**
 * @file What lies round some entities: hop by hop, at most so many new entities a hop.
 *
 * CHOSEN: MixRAGRec's "at most 20 neighbours a hop" is read as 20 new entities a hop in all, those whose linking triple is
 * nearest to the query, so that a hub (a continent with fifty countries) does not flood the graph.
 */

import { byScore, type Nearness } from "./embedded-graph.ts";
import { checkCount } from "./errors.ts";
import type { KnowledgeGraph } from "./knowledge-graph.ts";

export interface NeighbourhoodOptions {
  /** Default 2 (MixRAGRec). */
  readonly hops?: number;
  /** New entities a hop, at most. Default 20 (MixRAGRec). */
  readonly neighbours?: number;
}

export interface Neighbourhood {
  /** Entities with their distance from the seeds; seeds (0) first, then in the order in which they were found. */
  readonly distance: ReadonlyMap<number, number>;
  /** Places of all triples between these entities, ascending. */
  readonly triples: readonly number[];
}

/** @param seeds entity numbers. */
export function neighbourhood(
  graph: KnowledgeGraph,
  seeds: readonly number[],
  nearness: Nearness,
  { hops = 2, neighbours = 20 }: NeighbourhoodOptions = {},
): Neighbourhood {
  checkCount("neighbourhood", "hops", hops, 0);
  checkCount("neighbourhood", "neighbours", neighbours, 0);
  const distance = new Map(seeds.map((seed) => [seed, 0]));
  let frontier = [...distance.keys()];
  for (let hop = 1; hop <= hops && frontier.length > 0; hop++) {
    const links = new Map<number, number>();
    for (const entity of frontier) for (const edge of graph.edgesAt(entity)) links.set(edge, entity);
    const found: number[] = [];
    for (const edge of byScore([...links.keys()], (place) => nearness.triples[place]!)) {
      if (found.length === neighbours) break;
      const other = graph.otherEnd(edge, links.get(edge)!);
      if (distance.has(other)) continue;
      distance.set(other, hop);
      found.push(other);
    }
    frontier = found;
  }
  const inside = new Set<number>();
  for (const entity of distance.keys())
    for (const edge of graph.edgesAt(entity))
      if (distance.has(graph.otherEnd(edge, entity))) inside.add(edge);
  return { distance, triples: [...inside].sort((left, right) => left - right) };
}
