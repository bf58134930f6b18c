/** Visually guided weights, on given similarities. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { visualAdvantages, visualSequenceWeights, visualWeights } from "../../src/methods/visual-weights.ts";
import { between } from "./numbers.ts";

const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 6));

test("golden values", () => {
  const { boosted, normalised, token, sum } = visualWeights([0.2, 0.8, 0.4, 0.6]);
  expect([...boosted]).toEqual(near([0.2, 0.8, 0.4, 0.78]));
  expect([...normalised]).toEqual(near([0, 1, 0.333333, 0.966667]));
  expect([...token]).toEqual(near([0.425, 1.425, 0.758333, 1.391667]));
  expect(sum).toBeCloseTo(2.3, 6);
  expect([...visualSequenceWeights([2.3, 1.3])]).toEqual(near([1.5, 0.9]));
  // A second sequence whose φ is 1.3.
  const [first] = visualAdvantages(
    [1, 0],
    [
      [0.2, 0.8, 0.4, 0.6],
      [0, 1, 0.3, 0],
    ],
    { boost: 0.3 },
  );
  expect([...first!]).toEqual(near([0.6375, 2.1375, 1.1375, 2.0875]));
});

test("ties are boosted together, at least one late token is, and only late ones", () => {
  expect([...visualWeights([0.9, 0.5, 0.5, 0.1], { late: 0.25, share: 0.5 }).boosted]).toEqual(
    near([0.9, 0.55, 0.6, 0.1]),
  );
  expect([...visualWeights([1, 1, 1, 1], { share: 0 }).boosted]).toEqual(near([1, 1, 1.2, 1.3]));
  expect([...visualWeights([1, 1, 1, 1], { late: 1 }).boosted]).toEqual([1, 1, 1, 1]);
});

test("equal similarities, one token, none, one sequence: every weight is 1", () => {
  expect([...visualWeights([0.3, 0.3], { boost: 0 }).token]).toEqual([1, 1]);
  expect([...visualWeights([0.3]).token]).toEqual([1]);
  expect([...visualWeights([]).token]).toEqual([]);
  expect([...visualSequenceWeights([4])]).toEqual([1]);
  expect(visualAdvantages([], [])).toEqual([]);
});

test("weights stay in their ranges and turn no sign; the order of a group does not matter", () => {
  const sequences = fc.array(fc.array(between(-1, 1), { minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(sequences, (all) => {
      const advantages = all.map((_, i) => (i % 2 === 0 ? 1 : -1));
      const found = visualAdvantages(advantages, all);
      found.forEach((row, i) => {
        for (const value of row) {
          expect(value * advantages[i]!).toBeGreaterThanOrEqual(0.09 - 1e-12);
          expect(value * advantages[i]!).toBeLessThanOrEqual(4);
        }
      });
      const turned = visualAdvantages(advantages.toReversed(), all.toReversed()).toReversed();
      expect(turned.map((row) => [...row])).toEqual(found.map((row) => near([...row])));
    }),
  );
});

test("settings are checked", () => {
  expect(() => visualWeights([1], { late: 2 })).toThrow(/late 2/);
  expect(() => visualAdvantages([1], [])).toThrow(/advantages 1; it must be 0 numbers/);
});
