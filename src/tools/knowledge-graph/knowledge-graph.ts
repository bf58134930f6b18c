/**
 * @file A knowledge graph: distinct triples (subject, relation, object) and which of them touch an entity. Objects are
 * entities too, whether they name a thing ("Norway") or a value ("Europe"), so that two countries of one region are two
 * hops apart. Everything keeps the order in which the triples came.
 */

import { KnowledgeGraphError } from "./errors.ts";

export interface Triple {
  readonly subject: string;
  readonly relation: string;
  readonly object: string;
}

/** "Norway capital Oslo": the text that stands for a triple wherever it is compared with a query. */
export const tripleText = ({ subject, relation, object }: Triple): string =>
  `${subject} ${relation} ${object}`;

/**
 * @example
 * const graph = new KnowledgeGraph([{ subject: "Norway", relation: "capital", object: "Oslo" }]);
 * graph.edgesAt(graph.entity("Oslo")!); // [0]
 */
export class KnowledgeGraph {
  /** Distinct, in the order of their first appearance. */
  readonly triples: readonly Triple[];
  /** Names, in the order of their first appearance: place = number of the entity. */
  readonly entities: readonly string[];
  /** Distinct relations, in the order of their first appearance. */
  readonly relations: readonly string[];
  /** [triples] entity numbers. */
  readonly subjects: Int32Array;
  /** [triples] entity numbers. */
  readonly objects: Int32Array;
  readonly #numberOf = new Map<string, number>();
  readonly #edges: number[][] = [];

  /** Duplicates are dropped. @throws KnowledgeGraphError if a part of a triple is no text or empty. */
  constructor(triples: Iterable<Triple>) {
    const seen = new Set<string>();
    const relations = new Set<string>();
    const kept: Triple[] = [];
    const ends: [number, number][] = [];
    let place = 0;
    for (const given of triples) {
      const fault = faultOf(given);
      if (fault !== undefined) {
        throw new KnowledgeGraphError({
          code: "E_TRIPLE",
          message: `Triple ${place} of a knowledge graph ${fault}.`,
          hint: "give subject, relation and object as text that is not blank.",
          facts: { place },
        });
      }
      place++;
      const { subject, relation, object } = given;
      const identity = JSON.stringify([subject, relation, object]);
      if (seen.has(identity)) continue;
      seen.add(identity);
      relations.add(relation);
      const from = this.#number(subject);
      const to = this.#number(object);
      this.#edges[from]!.push(kept.length);
      if (to !== from) this.#edges[to]!.push(kept.length);
      kept.push(Object.freeze({ subject, relation, object }));
      ends.push([from, to]);
    }
    this.triples = Object.freeze(kept);
    this.entities = Object.freeze([...this.#numberOf.keys()]);
    this.relations = Object.freeze([...relations]);
    this.subjects = Int32Array.from(ends, ([from]) => from);
    this.objects = Int32Array.from(ends, ([, to]) => to);
  }

  #number(name: string): number {
    let number = this.#numberOf.get(name);
    if (number === undefined) {
      number = this.#numberOf.size;
      this.#numberOf.set(name, number);
      this.#edges.push([]);
    }
    return number;
  }

  /** The number of an entity; undefined for a name that no triple has. */
  entity(name: string): number | undefined {
    return this.#numberOf.get(name);
  }

  /** Places of the triples that touch an entity, either way round, ascending; a self loop is listed once. */
  edgesAt(entity: number): readonly number[] {
    return this.#edges[entity] ?? [];
  }

  /** The other end of a triple, seen from one of its ends. */
  otherEnd(triple: number, entity: number): number {
    return this.subjects[triple] === entity ? this.objects[triple]! : this.subjects[triple]!;
  }
}

/** What is wrong with a value that should be a triple, as the rest of a sentence; undefined if nothing is. */
export function faultOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return `is ${JSON.stringify(value)} and no object`;
  for (const part of ["subject", "relation", "object"] as const) {
    const text = (value as Readonly<Record<string, unknown>>)[part];
    if (typeof text !== "string" || text.trim() === "")
      return `has the ${part} ${JSON.stringify(text) ?? "undefined"}`;
  }
  return undefined;
}
