import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  cosine,
  hashedWords,
  KnowledgeGraph,
  KnowledgeGraphError,
  type Triple,
  triplesFrom,
} from "../../../src/tools/index.ts";
import { keyOf, triplesOf } from "./graphs.ts";

const thrown = (run: () => unknown): KnowledgeGraphError => {
  try {
    run();
  } catch (error) {
    if (error instanceof KnowledgeGraphError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("KnowledgeGraph", () => {
  it("keeps distinct triples in order and knows which touch an entity", () => {
    fc.assert(
      fc.property(triplesOf, (given) => {
        const graph = new KnowledgeGraph(given);
        expect(graph.triples.map(keyOf)).toEqual([...new Set(given.map(keyOf))]);
        expect(graph.entities).toEqual([...new Set(given.flatMap((t) => [t.subject, t.object]))]);
        expect(graph.relations).toEqual([...new Set(given.map((t) => t.relation))]);
        graph.entities.forEach((name, number) => {
          expect(graph.entity(name)).toBe(number);
          const touching = [...graph.triples.keys()].filter((place) => {
            const { subject, object } = graph.triples[place]!;
            return subject === name || object === name;
          });
          expect(graph.edgesAt(number)).toEqual(touching);
          for (const place of touching) {
            const { subject, object } = graph.triples[place]!;
            expect(graph.entities[graph.otherEnd(place, number)]).toBe(subject === name ? object : subject);
          }
        });
      }),
    );
  });

  it("tells triples apart whose parts only join to the same text", () => {
    const graph = new KnowledgeGraph([
      { subject: "a b", relation: "c", object: "d" },
      { subject: "a", relation: "b c", object: "d" },
      { subject: "a b", relation: "c", object: "d" },
    ]);
    expect(graph.triples).toHaveLength(2);
  });

  it("may be empty", () => {
    const graph = new KnowledgeGraph([]);
    expect(graph.entity("Norway")).toBeUndefined();
    expect(graph.edgesAt(0)).toEqual([]);
  });

  it("refuses a triple without text, naming its place", () => {
    const good = { subject: "a", relation: "b", object: "c" };
    const error = thrown(() => new KnowledgeGraph([good, { ...good, object: " " }]));
    expect(error).toMatchObject({ code: "E_TRIPLE", facts: { place: 1 } });
    expect(error.message).toContain('object " "');
  });
});

describe("triplesFrom", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "triples-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (text: string | Uint8Array) => {
    const path = join(folder, "facts.jsonl");
    writeFileSync(path, text);
    return path;
  };
  const norway: Triple = { subject: "Norway", relation: "capital", object: "Oslo" };

  it("reads one triple a line, drops other fields and blank lines, from a path or a URL", () => {
    const path = file(`${JSON.stringify({ ...norway, source: "x" })}\n\n${JSON.stringify(norway)}\n`);
    expect(triplesFrom(path)).toEqual([norway, norway]);
    expect(triplesFrom(pathToFileURL(path))).toEqual([norway, norway]);
    expect(triplesFrom(file(""))).toEqual([]);
  });

  it.each([
    ["{", "is not JSON"],
    ["[]", "has the subject undefined"],
    ["null", "is null and no object"],
    ['{"subject": "a", "relation": 3, "object": "b"}', "has the relation 3"],
    ['{"subject": "a", "relation": "r", "object": ""}', 'has the object ""'],
  ])("names file and line of %s", (line, words) => {
    const path = file(`${JSON.stringify(norway)}\n\n${line}\n`);
    const error = thrown(() => triplesFrom(path));
    expect(error).toMatchObject({ code: "E_GRAPH_LINE", facts: { name: path, line: 3 } });
    expect(error.message).toContain(`${path}, line 3 ${words}`);
  });

  it("says which file cannot be read", () => {
    expect(thrown(() => triplesFrom(join(folder, "none.jsonl"))).code).toBe("E_GRAPH_FILE");
    expect(thrown(() => triplesFrom(file(Uint8Array.of(0xff, 0xfe)))).code).toBe("E_GRAPH_FILE");
  });
});

describe("hashedWords", () => {
  it("gives vectors of length 1, zeros for a text without words", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const vector = hashedWords(32)(text);
        const length = Math.hypot(...vector);
        if (length !== 0) expect(length).toBeCloseTo(1, 5);
        else expect(cosine(vector, vector)).toBe(0);
      }),
    );
    expect([...hashedWords(4)("…!")]).toEqual([0, 0, 0, 0]);
  });

  it("puts texts that share words, or parts of words, nearer than others", () => {
    const embed = hashedWords();
    const to = (left: string, right: string) => cosine(embed(left), embed(right));
    expect(to("capital of Norway", "Norway capital Oslo")).toBeGreaterThan(
      to("capital of Norway", "Peru region South America") + 0.3,
    );
    expect(to("Norway", "Norwegian")).toBeGreaterThan(to("Norway", "Peru") + 0.1);
    expect(to("Côte d'Ivoire", "COTE D IVOIRE")).toBeCloseTo(1, 6);
  });

  it("lets collisions cancel: features come with both signs", () => {
    const values = Array.from({ length: 40 }, (_, i) => hashedWords(1)(`${i}`)[0]!);
    expect(new Set(values.map(Math.sign))).toEqual(new Set([1, -1]));
  });

  it("refuses a width that is none", () => {
    expect(thrown(() => hashedWords(0)).code).toBe("E_GRAPH_SETTING");
  });
});
