/** @file What a retrieval expert is given and gives back, and how it finds the entities to start from. */

import { byScore, type EmbeddedGraph, type Nearness } from "./embedded-graph.ts";
import type { KnowledgeGraph, Triple } from "./knowledge-graph.ts";

export interface RetrievalQuery {
  readonly text: string;
  /** Names of entities to start from. Without them: the ends of the triples nearest to the text. */
  readonly seeds?: readonly string[];
}

export interface Evidence {
  /** Best first, never more than the expert's `limit`. */
  readonly triples: readonly Triple[];
  /** Seeds of the query that the graph does not have: nothing was retrieved for them. */
  readonly unknownSeeds: readonly string[];
}

/** Retrieves evidence for a query; the same query gets the same evidence. */
export type RetrievalExpert = (query: RetrievalQuery) => Evidence;

/** Triples nearest to the text whose ends are the seeds of a query that names none (CHOSEN). */
const seedTriples = 3;

/** Entity numbers to start from, distinct, in the order of the query; and the names that the graph does not have. */
export function seedsOf(
  { graph }: EmbeddedGraph,
  query: RetrievalQuery,
  nearness: Nearness,
): { readonly seeds: readonly number[]; readonly unknownSeeds: readonly string[] } {
  if (query.seeds === undefined) {
    const nearest = byScore([...graph.triples.keys()], (place) => nearness.triples[place]!).slice(
      0,
      seedTriples,
    );
    const ends = nearest.flatMap((place) => [graph.subjects[place]!, graph.objects[place]!]);
    return { seeds: [...new Set(ends)], unknownSeeds: [] };
  }
  const names = [...new Set(query.seeds)];
  return {
    seeds: names.map((name) => graph.entity(name)).filter((number) => number !== undefined),
    unknownSeeds: names.filter((name) => graph.entity(name) === undefined),
  };
}

/** The same for an expert that starts from no entity: which seeds are unknown is still said. */
export const unknownSeedsOf = (graph: KnowledgeGraph, { seeds = [] }: RetrievalQuery): readonly string[] => [
  ...new Set(seeds.filter((name) => graph.entity(name) === undefined)),
];
