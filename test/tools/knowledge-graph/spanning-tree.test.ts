import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { spanningForest, type WeighedEdge } from "../../../src/tools/index.ts";
import { parts } from "./graphs.ts";

const nodes = 5;
const edgeList = fc.array(
  fc.record({
    from: fc.nat(nodes - 1),
    to: fc.nat(nodes - 1),
    cost: fc.integer({ min: -3, max: 6 }).map((value) => value / 4),
  }),
  { maxLength: 9 },
);
const pairs = (edges: readonly WeighedEdge[]) => edges.map(({ from, to }) => [from, to] as const);
const costOf = (edges: readonly WeighedEdge[]) => edges.reduce((sum, { cost }) => sum + cost, 0);

/** The best total cost over all subsets without cycles that join what the graph joins. */
function bruteForce(edges: readonly WeighedEdge[], better: (a: number, b: number) => number): number {
  const whole = parts(nodes, pairs(edges));
  let best: number | undefined;
  for (let subset = 0; subset < 2 ** edges.length; subset++) {
    const some = edges.filter((_, i) => (subset >> i) & 1);
    if (some.length !== nodes - whole || parts(nodes, pairs(some)) !== whole) continue;
    best = best === undefined ? costOf(some) : better(best, costOf(some));
  }
  return best!;
}

describe("spanningForest", () => {
  it.each([
    ["minimum", Math.min],
    ["maximum", Math.max],
  ] as const)("costs what brute force finds (%s) and joins what the graph joins", (extreme, better) => {
    fc.assert(
      fc.property(edgeList, (edges) => {
        const chosen = spanningForest(nodes, edges, extreme).map((place) => edges[place]!);
        const whole = parts(nodes, pairs(edges));
        expect(chosen).toHaveLength(nodes - whole);
        expect(parts(nodes, pairs(chosen))).toBe(whole);
        expect(costOf(chosen)).toBeCloseTo(bruteForce(edges, better), 12);
      }),
      { numRuns: 60 },
    );
  });

  it("takes the first of equal edges, never a self loop, and knows the empty graph", () => {
    const edge = (from: number, to: number) => ({ from, to, cost: 1 });
    expect(spanningForest(3, [edge(0, 0), edge(0, 1), edge(1, 0), edge(1, 2), edge(0, 2)])).toEqual([1, 3]);
    expect(spanningForest(3, [edge(0, 1), edge(1, 2), edge(0, 2)], "maximum")).toEqual([0, 1]);
    expect(spanningForest(0, [])).toEqual([]);
    expect(spanningForest(2, [])).toEqual([]);
  });
});
