import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exactMatch, normaliseAnswer, tokenF1 } from "../../src/rewards/text-match.ts";

describe("normaliseAnswer", () => {
  it("lowers, drops punctuation and articles, and collapses space", () => {
    expect(normaliseAnswer("  The  U.S. Dollar, a currency! ")).toBe("us dollar currency");
    expect(normaliseAnswer("«Côte d'Ivoire»")).toBe("côte divoire");
  });

  it("does not take the end of a word for an article", () => {
    expect(normaliseAnswer("España Cañón the")).toBe("españa cañón");
  });

  it("unifies compatibility forms", () => {
    expect(normaliseAnswer("ﬁve ２")).toBe("five 2");
    expect(normaliseAnswer("Cafe\u0301")).toBe(normaliseAnswer("Café"));
  });
});

describe("exactMatch and tokenF1", () => {
  it("gives the values of the SQuAD definition, computed by hand", () => {
    expect(exactMatch("the Oslo.", "Oslo")).toBe(1);
    expect(exactMatch("Oslo city", "Oslo")).toBe(0);
    // "The answer to the question is Oslo." → answer to question is oslo: P = 1/5, R = 1.
    expect(tokenF1("The answer to the question is Oslo.", "Oslo")).toBeCloseTo(1 / 3, 12);
    // Multiset overlap: "new new york" and "new york city" share {new, york}.
    expect(tokenF1("new new york", "new york city")).toBeCloseTo(2 / 3, 12);
    expect(tokenF1("Bergen", "Oslo")).toBe(0);
    expect(tokenF1("", "Oslo")).toBe(0);
    expect(tokenF1("the", "a")).toBe(1);
  });

  it("takes the best of several gold answers and refuses none", () => {
    expect(tokenF1("euro", ["dollar", "euro"])).toBe(1);
    expect(exactMatch("euro", ["dollar", "euro"])).toBe(1);
    expect(() => tokenF1("euro", [])).toThrow(RangeError);
  });

  it("is symmetric, bounded, 1 on equal texts, and at least the exact match", () => {
    const text = fc
      .array(fc.constantFrom("the", "oslo", "is", "a", "ø", "City,"))
      .map((words) => words.join(" "));
    fc.assert(
      fc.property(text, text, (left, right) => {
        const score = tokenF1(left, right);
        expect(score).toBe(tokenF1(right, left));
        expect(score).toBeGreaterThanOrEqual(exactMatch(left, right));
        expect(score).toBeLessThanOrEqual(1);
        expect(tokenF1(left, left)).toBe(1);
      }),
    );
  });
});
