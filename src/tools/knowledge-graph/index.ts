/** @file Knowledge graphs and the retrieval experts over them, part of `troupe/tools`. */

export { type ConnectedGraphOptions, connectedGraph } from "./connected-graph.ts";
export { EmbeddedGraph } from "./embedded-graph.ts";
export { KnowledgeGraphError } from "./errors.ts";
export type { Evidence, RetrievalExpert, RetrievalQuery } from "./expert.ts";
export { KnowledgeGraph, type Triple, tripleText } from "./knowledge-graph.ts";
export type { NeighbourhoodOptions } from "./neighbourhood.ts";
export { noEvidence } from "./no-evidence.ts";
export { type PageRankOptions, personalisedPageRank } from "./page-rank.ts";
export { spanningForest, type WeighedEdge } from "./spanning-tree.ts";
export { type SubgraphOptions, subgraph } from "./subgraph.ts";
export { cosine, type EmbedText, hashedWords } from "./text-vector.ts";
export { type TopTriplesOptions, topTriples } from "./top-triples.ts";
export { triplesFrom } from "./triples-from.ts";
