import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KnowledgeGraphError, personalisedPageRank } from "../../../src/tools/index.ts";
import { edgesOf } from "./graphs.ts";

/** The same by a dense matrix: column i says where the mass of node i goes. */
function dense(
  nodes: number,
  edges: readonly (readonly [number, number])[],
  seeds: ReadonlyMap<number, number>,
  damping: number,
  iterations: number,
): number[] {
  const sum = [...seeds.values()].reduce((total, weight) => total + weight, 0);
  const p = Array.from({ length: nodes }, (_, i) => (sum > 0 ? (seeds.get(i) ?? 0) / sum : 1 / nodes));
  const m = p.map(() => p.map(() => 0));
  for (const [from, to] of edges) {
    m[from]![to]!++;
    if (from !== to) m[to]![from]!++;
  }
  const matrix = m.map((row) => {
    const total = row.reduce((a, b) => a + b, 0);
    return row.map((value, j) => (total === 0 ? p[j]! : value / total));
  });
  let rank = p;
  for (let k = 0; k < iterations; k++)
    rank = p.map(
      (start, j) => (1 - damping) * start + damping * rank.reduce((s, r, i) => s + r * matrix[i]![j]!, 0),
    );
  return rank;
}

const cases = fc.integer({ min: 1, max: 8 }).chain((nodes) =>
  fc.record({
    nodes: fc.constant(nodes),
    edges: edgesOf(nodes),
    seeds: fc.array(fc.tuple(fc.nat(nodes - 1), fc.integer({ min: 0, max: 5 })), { maxLength: 4 }),
    damping: fc.constantFrom(0, 0.5, 0.85, 1),
    iterations: fc.constantFrom(0, 1, 7, 100),
  }),
);

describe("personalisedPageRank", () => {
  it("sums to 1 and is what a dense power iteration gives", () => {
    fc.assert(
      fc.property(cases, ({ nodes, edges, seeds, damping, iterations }) => {
        const rank = personalisedPageRank(nodes, edges, new Map(seeds), { damping, iterations });
        expect(rank.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
        const oracle = dense(nodes, edges, new Map(seeds), damping, iterations);
        rank.forEach((value, i) => {
          expect(value).toBeCloseTo(oracle[i]!, 12);
        });
      }),
    );
  });

  it("is the closed form of a star: (1 − d)/(1 − d²) at the centre that is the seed", () => {
    const rank = personalisedPageRank(
      4,
      [
        [0, 1],
        [0, 2],
        [3, 0],
      ],
      new Map([[0, 2]]),
    );
    const centre = 0.15 / (1 - 0.85 ** 2);
    expect(rank[0]).toBeCloseTo(centre, 6);
    for (const leaf of [1, 2, 3]) expect(rank[leaf]).toBeCloseTo((0.85 * centre) / 3, 6);
  });

  it("gives nothing to what the seeds do not reach, all to a lone seed, and takes an empty graph", () => {
    expect([...personalisedPageRank(3, [[0, 1]], new Map([[2, 1]]))]).toEqual([0, 0, 1]);
    expect([...personalisedPageRank(2, [[0, 0]], new Map([[0, 1]]))]).toEqual([1, 0]);
    expect(personalisedPageRank(0, [])).toHaveLength(0);
  });

  it("counts parallel edges", () => {
    const once: [number, number][] = [
      [0, 1],
      [0, 2],
    ];
    const rank = personalisedPageRank(3, [...once, [1, 0]], new Map([[0, 1]]));
    expect(rank[1]! / rank[2]!).toBeCloseTo(2, 9);
  });

  it.each([
    [{ damping: 1.2 }, new Map()],
    [{ damping: Number.NaN }, new Map()],
    [{ iterations: -1 }, new Map()],
    [{}, new Map([[3, 1]])],
    [{}, new Map([[0, -1]])],
    [{}, new Map([[0, Number.NaN]])],
  ])("refuses %o with seeds %o", (options, seeds: ReadonlyMap<number, number>) => {
    expect(() => personalisedPageRank(3, [], seeds, options)).toThrow(KnowledgeGraphError);
  });
});
