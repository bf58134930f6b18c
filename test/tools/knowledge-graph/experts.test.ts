import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  connectedGraph,
  cosine,
  EmbeddedGraph,
  hashedWords,
  KnowledgeGraph,
  KnowledgeGraphError,
  noEvidence,
  spanningForest,
  subgraph,
  type Triple,
  topTriples,
  tripleText,
} from "../../../src/tools/index.ts";
import { distancesFrom, keyOf, parts, triplesOf } from "./graphs.ts";

const embed = hashedWords(64);
const embedded = (triples: readonly Triple[]) => new EmbeddedGraph(new KnowledgeGraph(triples), embed);
const t = (subject: string, relation: string, object: string): Triple => ({ subject, relation, object });
const text = "Who borders Ayo and speaks its language?";
const seedNames = fc.uniqueArray(fc.constantFrom("Ayo", "Bel", "Cor", "Nowhere"), { maxLength: 3 });
const distinct = (triples: readonly Triple[]) => [
  ...new Map(triples.map((one) => [keyOf(one), one])).values(),
];
const experts = [
  () => noEvidence(),
  (graph: EmbeddedGraph) => topTriples(graph),
  (graph: EmbeddedGraph) => subgraph(graph),
  (graph: EmbeddedGraph) => connectedGraph(graph),
];

describe("every expert", () => {
  it("retrieves distinct triples of the graph, the same whenever asked, and takes an empty graph", () => {
    fc.assert(
      fc.property(triplesOf, fc.option(seedNames, { nil: undefined }), (triples, seeds) => {
        const known = new Set(triples.map(keyOf));
        const query = seeds === undefined ? { text } : { text, seeds };
        for (const expert of experts) {
          const found = expert(embedded(triples))(query).triples;
          expect(new Set(found.map(keyOf)).size).toBe(found.length);
          for (const triple of found) expect(known).toContain(keyOf(triple));
          expect(expert(embedded(triples))(query).triples).toEqual(found);
        }
      }),
      { numRuns: 40 },
    );
    for (const expert of experts) expect(expert(embedded([]))({ text }).triples).toEqual([]);
  });

  it("says which seeds the graph does not have, and retrieves nothing round them", () => {
    const graph = embedded([t("Ayo", "borders", "Bel")]);
    const query = { text, seeds: ["Nowhere", "Ayo", "Nowhere"] };
    for (const expert of [topTriples, subgraph, connectedGraph]) {
      expect(expert(graph)(query).unknownSeeds).toEqual(["Nowhere"]);
      expect(expert(graph)(query).triples).toHaveLength(1);
    }
    for (const expert of [subgraph, connectedGraph])
      expect(expert(graph)({ text, seeds: ["Nowhere"] })).toEqual({ triples: [], unknownSeeds: ["Nowhere"] });
  });

  it.each([
    () => topTriples(embedded([]), { limit: -1 }),
    () => subgraph(embedded([]), { limit: 1.5 }),
    () => subgraph(embedded([]), { hops: -1 })({ text }),
    () => subgraph(embedded([]), { neighbours: Number.NaN })({ text }),
    () => connectedGraph(embedded([]), { entities: -1 }),
    () => connectedGraph(embedded([t("a", "b", "c")]), { damping: 2 })({ text }),
  ])("refuses settings that mean nothing", (run) => {
    expect(run).toThrow(KnowledgeGraphError);
  });
});

describe("topTriples", () => {
  const score = (triple: Triple) => cosine(embed(text), embed(tripleText(triple)));

  it("gives the k nearest by cosine, ties in the order of the graph", () => {
    fc.assert(
      fc.property(triplesOf, fc.nat(5), (triples, limit) => {
        const found = topTriples(embedded(triples), { limit })({ text, seeds: ["Bel"] }).triples;
        const sorted = distinct(triples).sort((left, right) => score(right) - score(left));
        expect(found).toEqual(sorted.slice(0, limit));
      }),
    );
  });

  it("keeps to triples that touch a seed when told", () => {
    const triples = [t("Cor", "borders", "Dun"), t("Bel", "capital", "Gam"), t("Hol", "language", "Bel")];
    const found = topTriples(embedded(triples), { atSeeds: true })({ text, seeds: ["Bel", "Nowhere"] });
    expect(found.triples.map(({ subject }) => subject).sort()).toEqual(["Bel", "Hol"]);
  });
});

describe("subgraph", () => {
  it("is every triple between entities of at most two hops, where no bound is met", () => {
    fc.assert(
      fc.property(triplesOf, fc.constantFrom(0, 1, 2), (triples, hops) => {
        const graph = new KnowledgeGraph(triples);
        const seeds = ["Ayo", "Bel"].filter((name) => graph.entity(name) !== undefined);
        const found = subgraph(embedded(triples), { hops, limit: 100 })({ text, seeds }).triples;
        const distance = distancesFrom(triples, seeds);
        const near = (name: string) => (distance.get(name) ?? 99) <= hops;
        const expected = distinct(triples).filter(({ subject, object }) => near(subject) && near(object));
        expect(found.map(keyOf).sort()).toEqual(expected.map(keyOf).sort());
      }),
    );
  });

  it("adds at most so many entities a hop, those linked by the nearest triple", () => {
    const triples = Array.from({ length: 30 }, (_, i) => t(`Land ${i}`, "region", "Hub"));
    const spokes = [t("Start", "region", "Hub"), ...triples, t("Land 3", "borders", "Far")];
    const names = (found: readonly Triple[]) =>
      new Set(found.flatMap(({ subject, object }) => [subject, object]));
    for (const neighbours of [0, 1, 5]) {
      const found = subgraph(embedded(spokes), { neighbours, limit: 99 })({
        text: "Land 3",
        seeds: ["Start"],
      });
      expect(names(found.triples).size).toBe(neighbours === 0 ? 0 : 2 + neighbours);
      if (neighbours > 0) expect(names(found.triples)).toContain("Land 3");
      expect(names(found.triples)).not.toContain("Far");
    }
    const three = subgraph(embedded(spokes), { hops: 3, neighbours: 5 })({
      text: "Land 3",
      seeds: ["Start"],
    });
    expect(names(three.triples)).toContain("Far");
    expect(subgraph(embedded(spokes), { limit: 4 })({ text, seeds: ["Start"] }).triples).toHaveLength(4);
  });

  it("starts from the nearest triples when no seeds are given", () => {
    const triples = [t("Cor", "borders", "Dun"), t("Ayo", "language", "Gam"), t("Gam", "speaks", "Hol")];
    const found = subgraph(embedded(triples), { hops: 0 })({ text: "language of Ayo" }).triples;
    expect(found[0]).toEqual(triples[1]);
  });
});

describe("connectedGraph", () => {
  it("is a spanning tree of the two-hop graph of least cost, where all entities are kept", () => {
    fc.assert(
      fc.property(triplesOf, fc.constantFrom("minimum" as const, "maximum" as const), (triples, tree) => {
        const graph = new KnowledgeGraph(triples);
        const seeds = ["Ayo"].filter((name) => graph.entity(name) !== undefined);
        const found = connectedGraph(embedded(triples), { tree, entities: 99, limit: 99 })({ text, seeds });
        const round = subgraph(embedded(triples), { limit: 99 })({ text, seeds }).triples;
        const names = [...new Set([...seeds, ...round.flatMap(({ subject, object }) => [subject, object])])];
        const edge = ({ subject, relation, object }: Triple) => ({
          from: names.indexOf(subject),
          to: names.indexOf(object),
          cost: 1 - cosine(embed(text), embed(relation)),
        });
        const pairs = (some: readonly Triple[]) => some.map(edge).map(({ from, to }) => [from, to] as const);
        expect(found.triples).toHaveLength(names.length - parts(names.length, pairs(round)));
        expect(parts(names.length, pairs(found.triples))).toBe(parts(names.length, pairs(round)));
        const cost = (some: readonly Triple[]) => some.reduce((sum, one) => sum + edge(one).cost, 0);
        const best = spanningForest(names.length, round.map(edge), tree).map((place) => round[place]!);
        expect(cost(found.triples)).toBeCloseTo(cost(best), 9);
      }),
      { numRuns: 60 },
    );
  });

  it("keeps the entities of highest rank: what two seeds share before what only one has", () => {
    const triples = [
      t("Ayo", "language", "Only"),
      t("Ayo", "region", "Shared"),
      t("Bel", "region", "Shared"),
      t("Bel", "capital", "Alone"),
    ];
    const found = connectedGraph(embedded(triples), { entities: 3 })({ text, seeds: ["Ayo", "Bel"] });
    expect(found.triples).toEqual([triples[1], triples[2]]);
    expect(connectedGraph(embedded(triples), { limit: 1 })({ text, seeds: ["Ayo", "Bel"] }).triples).toEqual([
      triples[1],
    ]);
  });

  it("takes the relation that is near to the query where two join the same entities", () => {
    const triples = [t("Ayo", "capital", "Bel"), t("Ayo", "borders", "Bel")];
    const query = { text: "borders", seeds: ["Ayo"] };
    expect(connectedGraph(embedded(triples))(query).triples).toEqual([triples[1]]);
    expect(connectedGraph(embedded(triples), { tree: "maximum" })(query).triples).toEqual([triples[0]]);
  });

  it("begins with what the seeds lead to, not with what hangs on a seed of high rank", () => {
    const spokes = ["x", "y", "z"].map((name) => t("Ayo", "capital", name));
    const triples = [
      ...spokes,
      t("Ayo", "region", "Hub"),
      t("Bel", "region", "Hub"),
      t("Cor", "region", "Hub"),
    ];
    const found = connectedGraph(embedded(triples))({ text, seeds: ["Ayo", "Bel"] }).triples;
    expect(found[0]).toEqual(triples[5]);
    expect(new Set(found.slice(1, 3))).toEqual(new Set([triples[3], triples[4]]));
  });
});
