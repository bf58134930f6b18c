/**
 * @file The four retrieval experts over what is known of a task's lands. A task's graph holds the triples of the lands
 * visited and the candidates; the wish is the query and the visited lands are the seeds.
 */

import {
  connectedGraph,
  EmbeddedGraph,
  hashedWords,
  KnowledgeGraph,
  noEvidence,
  type RetrievalExpert,
  subgraph,
  type Triple,
  topTriples,
} from "troupe/tools";
import { type Land, triplesOf } from "./lands.ts";
import type { Expert } from "./tasks.ts";

/** Triples of the two larger kinds of evidence, at most: what fits a short prompt. */
export const largestEvidence = 6;

const embed = hashedWords();
const vectors = new Map<string, Float32Array>();
/** The same texts come again in every task. */
function remembered(text: string): Float32Array {
  let vector = vectors.get(text);
  if (vector === undefined) {
    vector = embed(text);
    vectors.set(text, vector);
  }
  return vector;
}

const expertOver: Readonly<Record<Expert, (graph: EmbeddedGraph) => RetrievalExpert>> = {
  none: noEvidence,
  triples: (graph) => topTriples(graph),
  subgraph: (graph) => subgraph(graph, { limit: largestEvidence, neighbours: 40 }),
  connected: (graph) => connectedGraph(graph, { limit: largestEvidence, neighbours: 40, entities: 30 }),
};

export interface EvidenceRequest {
  readonly expert: Expert;
  readonly visited: readonly string[];
  readonly wish: string;
  readonly candidates: readonly string[];
}

/** What an expert finds for a task. @param landOf the lands of the task's world, by name. */
export function retrieveFrom(
  landOf: ReadonlyMap<string, Land>,
  { expert, visited, wish, candidates }: EvidenceRequest,
): readonly Triple[] {
  const names = [...visited, ...candidates.filter((name) => !visited.includes(name))];
  const graph = new KnowledgeGraph(names.flatMap((name) => triplesOf(landOf.get(name)!)));
  const named = visited.filter((name) => wish.includes(name));
  // A subgraph is drawn round the land that the wish is about; a connected graph joins everything that was visited.
  const seeds = expert === "subgraph" && named.length > 0 ? named : visited;
  return expertOver[expert](new EmbeddedGraph(graph, remembered))({ text: wish, seeds }).triples;
}
