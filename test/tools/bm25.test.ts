import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { foldText, SearchIndex, SearchIndexError, searchWords } from "../../src/tools/bm25.ts";

const passages = [
  { title: "Norway", text: "The highest point is Galdhopiggen." },
  { title: "Nepal", text: "The capital is Kathmandu." },
  { title: "Oman", text: "The capital is Muscat, the largest city." },
];

describe("BM25", () => {
  it("gives the scores of the formula, computed by hand", () => {
    // N = 3. Words with titles: d0 = 6, d1 = 5, d2 = 8; mean 19/3. "capital": n = 2, idf = ln(1 + 1.5/2.5).
    const index = new SearchIndex(passages);
    const hits = index.search("capital");
    const idf = Math.log(1 + 1.5 / 2.5);
    const score = (length: number) => (idf * 2.2) / (1 + 1.2 * (0.25 + (0.75 * length) / (19 / 3)));
    expect(hits.map((hit) => hit.passage.title)).toEqual(["Nepal", "Oman"]);
    expect(hits[0]!.score).toBeCloseTo(score(5), 12);
    expect(hits[1]!.score).toBeCloseTo(score(8), 12);
    expect(hits[0]!.score).toBeCloseTo(0.5142972, 6);
  });

  it("counts repeated words of a passage with saturation, of a query linearly", () => {
    const index = new SearchIndex(passages);
    const the = index.search("the");
    // "the" occurs twice in d2: f = 2.
    const idf = Math.log(1 + 0.5 / 3.5);
    const expected = (idf * 2 * 2.2) / (2 + 1.2 * (0.25 + (0.75 * 8) / (19 / 3)));
    expect(the.find((hit) => hit.index === 2)!.score).toBeCloseTo(expected, 12);
    expect(index.search("the the").find((hit) => hit.index === 2)!.score).toBeCloseTo(2 * expected, 12);
  });

  it("folds marks, case and letters that Unicode does not decompose", () => {
    expect(foldText("Galdhøpiggen")).toBe("galdhopiggen");
    expect(foldText("ÅLAND ß Łódź Þingvellir İzmir ﬁ")).toBe("aland ss lodz thingvellir izmir fi");
    expect(new SearchIndex(passages).search("GALDHØPIGGEN")[0]!.passage.title).toBe("Norway");
    expect(searchWords("N'Djamena, .no (2469 m)")).toEqual(["n", "djamena", "no", "2469", "m"]);
  });

  it("finds titles, and weighs them as told", () => {
    const both = [
      { title: "Oslo", text: "A city." },
      { title: "Norway", text: "Oslo city." },
    ];
    expect(new SearchIndex(both, { titleWeight: 3 }).search("oslo")[0]!.index).toBe(0);
    expect(new SearchIndex(both, { titleWeight: 0 }).search("oslo").map((hit) => hit.index)).toEqual([1]);
  });

  it("returns nothing for unknown words, an empty query or an empty index", () => {
    const index = new SearchIndex(passages);
    expect(index.search("zebra")).toEqual([]);
    expect(index.search("  ?! ")).toEqual([]);
    expect(new SearchIndex([]).search("capital")).toEqual([]);
  });

  it("refuses impossible settings by name", () => {
    expect(() => new SearchIndex(passages, { b: 2 })).toThrow(SearchIndexError);
    expect(() => new SearchIndex(passages, { k1: Number.NaN })).toThrow(/k1 = NaN/);
  });

  it("agrees with a direct evaluation of the formula on random texts, whatever was asked before", () => {
    const word = fc.constantFrom("a", "b", "c", "d", "e");
    const text = fc.array(word, { maxLength: 8 }).map((words) => words.join(" "));
    fc.assert(
      fc.property(
        fc.array(fc.record({ title: text, text }), { minLength: 1, maxLength: 8 }),
        text,
        text,
        (docs, before, query) => {
          const index = new SearchIndex(docs);
          index.search(before);
          const bags = docs.map((doc) => searchWords(`${doc.title} ${doc.text}`));
          const mean = bags.reduce((sum, bag) => sum + bag.length, 0) / docs.length;
          const expected = bags.map((bag) =>
            searchWords(query).reduce((score, term) => {
              const frequency = bag.filter((other) => other === term).length;
              const having = bags.filter((other) => other.includes(term)).length;
              if (frequency === 0) return score;
              const idf = Math.log(1 + (docs.length - having + 0.5) / (having + 0.5));
              return (
                score + (idf * frequency * 2.2) / (frequency + 1.2 * (0.25 + (0.75 * bag.length) / mean))
              );
            }, 0),
          );
          const hits = index.search(query, docs.length);
          expect(hits.length).toBe(expected.filter((score) => score > 0).length);
          for (const hit of hits) expect(hit.score).toBeCloseTo(expected[hit.index]!, 10);
          for (let i = 1; i < hits.length; i++)
            expect(hits[i - 1]!.score).toBeGreaterThanOrEqual(hits[i]!.score);
        },
      ),
    );
  });
});
