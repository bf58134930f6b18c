/** @file A knowledge graph with embeddings of its triples and relations, made once and shared by the experts over it. */

import type { KnowledgeGraph } from "./knowledge-graph.ts";
import { tripleText } from "./knowledge-graph.ts";
import { cosine, type EmbedText, hashedWords } from "./text-vector.ts";

/** How near each triple and each relation is to one query. */
export interface Nearness {
  /** [triples] cos(query, "subject relation object"). */
  readonly triples: Float64Array;
  /** [triples] cos(query, relation), of each triple's relation. */
  readonly relations: Float64Array;
}

export class EmbeddedGraph {
  readonly graph: KnowledgeGraph;
  readonly #embed: EmbedText;
  readonly #triples: readonly Float32Array[];
  readonly #relations: ReadonlyMap<string, Float32Array>;

  /** @param embed default {@link hashedWords}. */
  constructor(graph: KnowledgeGraph, embed: EmbedText = hashedWords()) {
    this.graph = graph;
    this.#embed = embed;
    this.#triples = graph.triples.map((triple) => embed(tripleText(triple)));
    this.#relations = new Map(graph.relations.map((relation) => [relation, embed(relation)]));
  }

  nearness(query: string): Nearness {
    const vector = this.#embed(query);
    const toRelation = new Map([...this.#relations].map(([name, other]) => [name, cosine(vector, other)]));
    return {
      triples: Float64Array.from(this.#triples, (other) => cosine(vector, other)),
      relations: Float64Array.from(this.graph.triples, ({ relation }) => toRelation.get(relation)!),
    };
  }
}

/** Places by falling score; equal scores in ascending order of place. */
export const byScore = (places: readonly number[], score: (place: number) => number): number[] =>
  [...places].sort((left, right) => score(right) - score(left) || left - right);
