/** An envelope on lengths. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { envelope, type LengthBounds, lengthEnvelope } from "../../src/rewards/length-envelope.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { episode, totals } from "./episodes.ts";

const bounds: LengthBounds = [100, 300, 600, 1000];

test("golden values", () => {
  expect([50, 200, 400, 800].map((length) => envelope(length, bounds))).toEqual([0, 0.5, 1, 0.5]);
  expect([100, 300, 600, 1000].map((length) => envelope(length, bounds))).toEqual([0, 1, 1, 0]);
});

test("walls instead of slopes", () => {
  expect([4, 5, 9, 10].map((length) => envelope(length, [5, 5, 9, 9]))).toEqual([0, 1, 1, 0]);
  expect([2, 3, 4].map((length) => envelope(length, [3, 3, 3, 3]))).toEqual([0, 1, 0]);
  expect(envelope(0, [0, 0, 9, 9])).toBe(1);
});

test("it rises, stays, falls, within [0, 1]", () => {
  const drawn = fc.array(fc.nat({ max: 50 }), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(drawn, (numbers) => {
      const [a, b, c, d] = numbers.toSorted((x, y) => x - y) as [number, number, number, number];
      const values = Array.from({ length: 60 }, (_, length) => envelope(length, [a, b, c, d]));
      expect(values.every((value) => value >= 0 && value <= 1)).toBe(true);
      for (let length = 1; length < 60; length++) {
        if (length <= b) expect(values[length]!).toBeGreaterThanOrEqual(values[length - 1]!);
        if (length > c) expect(values[length]!).toBeLessThanOrEqual(values[length - 1]!);
      }
    }),
  );
});

test("of each call, or of one agent's", async () => {
  const talk = episode({
    calls: [
      { agent: "a", output: new Int32Array(2) },
      { agent: "b", output: new Int32Array(4) },
    ],
  });
  expect(await totals(lengthEnvelope("length", { bounds: [0, 4, 8, 9] }), [talk])).toEqual([1.5]);
  const one = lengthEnvelope("length", { bounds: [0, 4, 8, 9], agent: "a" });
  expect(await totals(one, [talk])).toEqual([0.5]);
  expect(one.needs).toEqual({ agents: ["a"] });
  expect(() => lengthEnvelope("length", { bounds: [0, 4, 3, 9] })).toThrow(RewardDefinitionError);
  expect(() => lengthEnvelope("length", { bounds: [0, 4, 8, Number.NaN] })).toThrow(/bounds/);
});
