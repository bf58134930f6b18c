import fc from "fast-check";
import { expect, test } from "vitest";
import { passAt } from "../../src/trainer/pass-at.ts";

const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);

test("golden values", () => {
  expect(passAt(1, 5, 2)).toBeCloseTo(0.4, 12);
  // 1 − C(3, 3) / C(5, 3) = 1 − 1 / 10
  expect(passAt(3, 5, 2)).toBeCloseTo(0.9, 12);
  // 1 − C(9, 4) / C(10, 4) = 4 / 10
  expect(passAt(4, 10, 1)).toBeCloseTo(0.4, 12);
  expect(passAt(4, 4, 0)).toBe(0);
  expect(passAt(4, 5, 2)).toBe(1);
});

test("is 1 − C(n − c, k) / C(n, k)", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.nat(), fc.nat(), (n, a, b) => {
      const k = 1 + (a % n);
      const c = b % (n + 1);
      const none = n - c < k ? 0 : choose(n - c, k) / choose(n, k);
      expect(passAt(k, n, c)).toBeCloseTo(1 - none, 9);
    }),
  );
});

test("is unbiased: its mean over samples of n is 1 − (1 − p)^k", () => {
  const [n, k, p] = [7, 3, 0.3];
  let mean = 0;
  for (let c = 0; c <= n; c++) mean += choose(n, c) * p ** c * (1 - p) ** (n - c) * passAt(k, n, c);
  expect(mean).toBeCloseTo(1 - (1 - p) ** k, 12);
});

test("fewer episodes than k have no estimate", () => {
  expect(() => passAt(5, 4, 2)).toThrow(RangeError);
  expect(() => passAt(0, 4, 2)).toThrow(RangeError);
  expect(() => passAt(1, 4, 5)).toThrow(RangeError);
});
