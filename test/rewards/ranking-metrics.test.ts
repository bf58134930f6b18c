import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jensenShannon, ndcg, recallAt } from "../../src/rewards/ranking-metrics.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { between } from "../methods/numbers.ts";

describe("ndcg and recall", () => {
  it("cut off, and give 0 where nothing is relevant", () => {
    expect(recallAt([5, 4, 3], [1, 0, 1], { cutoff: 2 })).toBe(0.5);
    expect(recallAt([5, 4, 3], [1, 0, 1], { cutoff: 3 })).toBe(1);
    expect(ndcg([5, 4, 3], [0, 0, 1], { cutoff: 2 })).toBe(0);
    expect(ndcg([1, 2], [0, 0])).toBe(0);
    expect(recallAt([1, 2], [0, 0])).toBe(0);
    expect(ndcg([], [])).toBe(0);
    // Graded: 3 and 1 the wrong way round.
    expect(ndcg([1, 2], [3, 1])).toBeCloseTo((1 + 3 / Math.log2(3)) / (3 + 1 / Math.log2(3)), 12);
  });

  it("share places among equal scores, or take them in order", () => {
    expect(recallAt([1, 1, 1, 1], [0, 0, 0, 1], { cutoff: 2 })).toBe(0.5);
    expect(recallAt([1, 1, 1, 1], [0, 0, 0, 1], { cutoff: 2, ties: "order" })).toBe(0);
    expect(ndcg([1, 1], [1, 0])).toBeCloseTo((1 + 1 / Math.log2(3)) / 2, 12);
    expect(ndcg([1, 1], [1, 0], { ties: "order" })).toBe(1);
    expect(ndcg([1, 1], [0, 1], { ties: "order" })).toBeCloseTo(1 / Math.log2(3), 12);
    // The order itself is best, also where gains tie.
    expect(ndcg([2, 2, 1], [1, 1, 0])).toBe(1);
  });

  it("refuse lists that do not fit", () => {
    for (const use of [ndcg, recallAt]) {
      expect(() => use([1], [1, 0])).toThrow(RewardDefinitionError);
      expect(() => use([1], [-1])).toThrow(RewardDefinitionError);
      expect(() => use([Number.NaN], [1])).toThrow(RewardDefinitionError);
      expect(() => use([1], [1], { cutoff: 0 })).toThrow(RewardDefinitionError);
    }
  });
});

describe("jensenShannon", () => {
  it("is 0 for equal shapes, 1 for disjoint ones, symmetric, and uniform for nothing", () => {
    expect(jensenShannon([1, 2], [10, 20])).toBe(0);
    expect(jensenShannon([1, 0], [0, 3])).toBe(1);
    expect(jensenShannon([0, 0], [2, 2])).toBe(0);
    expect(jensenShannon([0, 0], [1, 0])).toBeCloseTo(jensenShannon([1, 1], [1, 0]), 12);
    const weights = fc.array(between(0, 10), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(weights, weights, (a, b) => {
        const bits = jensenShannon(a, b);
        expect(jensenShannon(b, a)).toBeCloseTo(bits, 12);
        expect(bits).toBeGreaterThanOrEqual(0);
        expect(bits).toBeLessThanOrEqual(1 + 1e-12);
      }),
    );
    expect(() => jensenShannon([-1, 2], [1, 1])).toThrow(RewardDefinitionError);
    expect(() => jensenShannon([1], [1, 1])).toThrow(RewardDefinitionError);
  });
});
