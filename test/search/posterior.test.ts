import { describe, expect, test } from "vitest";
import { stream } from "../../src/random/stream.ts";
import { gamma } from "../../src/search/gamma.ts";
import { merged, momentsOf, noMoments } from "../../src/search/moments.ts";
import {
  beta,
  betaAfter,
  gaussian,
  gaussianAfter,
  gaussianPrior,
  jeffreys,
} from "../../src/search/posterior.ts";

describe("golden values of the specification", () => {
  test.each([
    [[1], [0.5, 2, 2, 0.3]],
    [
      [1, 0],
      [0.333333, 3, 3, 0.255556],
    ],
    [
      [1, 0, 1],
      [0.5, 4, 4, 0.275],
    ],
  ])("Gaussian after %j", (rewards, expected) => {
    const { mean, kappa, nu, variance } = gaussianAfter(gaussianPrior, momentsOf(rewards));
    for (const [i, value] of [mean, kappa, nu, variance].entries())
      expect(value).toBeCloseTo(expected[i]!, 6);
  });

  test.each([
    [[1], [1.5, 0.5]],
    [
      [1, 0],
      [1.5, 1.5],
    ],
    [
      [1, 0, 1],
      [2.5, 1.5],
    ],
  ])("Beta after %j", (rewards, expected) => {
    const { a, b } = betaAfter(jeffreys, momentsOf(rewards));
    expect([a, b]).toEqual([expect.closeTo(expected[0]!, 9), expect.closeTo(expected[1]!, 9)]);
  });
});

const meanOf = (values: readonly number[]) => momentsOf(values).mean;
const varianceOf = (values: readonly number[]) => momentsOf(values).squares / values.length;

test("1e5 draws of the Gaussian posterior after 1, 0, 1 have the mean .5 ± .01", () => {
  const random = stream(1, "gaussian");
  const observations = momentsOf([1, 0, 1]);
  const draws = Array.from({ length: 1e5 }, () => gaussian().sample(observations, random));
  expect(Math.abs(meanOf(draws) - 0.5)).toBeLessThan(0.01);
  // Student's t with ν' = 4: variance τ²/κ' · ν'/(ν' − 2) = .275/4 · 2
  expect(varianceOf(draws)).toBeGreaterThan(0.12);
  expect(varianceOf(draws)).toBeLessThan(0.155);
});

test("draws of the Beta posterior have its mean and variance, also with shapes below 1", () => {
  for (const [rewards, a, b] of [
    [[], 0.5, 0.5],
    [[1, 0, 1], 2.5, 1.5],
  ] as const) {
    const random = stream(2, "beta", rewards.length);
    const draws = Array.from({ length: 3e4 }, () => beta().sample(momentsOf(rewards), random));
    expect(meanOf(draws)).toBeCloseTo(a / (a + b), 1);
    expect(Math.abs(meanOf(draws) - a / (a + b))).toBeLessThan(0.005);
    expect(Math.abs(varianceOf(draws) - (a * b) / ((a + b) ** 2 * (a + b + 1)))).toBeLessThan(0.003);
    expect(draws.every((draw) => draw >= 0 && draw <= 1)).toBe(true);
  }
});

test("gamma: mean and variance are the shape", () => {
  for (const shape of [0.3, 1, 2.5, 30]) {
    const random = stream(3, "gamma", String(shape));
    const draws = Array.from({ length: 2e4 }, () => gamma(shape, random));
    expect(Math.abs(meanOf(draws) / shape - 1)).toBeLessThan(0.03);
    expect(Math.abs(varianceOf(draws) / shape - 1)).toBeLessThan(0.08);
  }
});

test("moments of halves are those of the whole, also far from zero", () => {
  const values = Array.from({ length: 50 }, (_, i) => 1e8 + ((i * 37) % 11) / 10);
  const whole = momentsOf(values);
  const halves = merged(momentsOf(values.slice(0, 13)), momentsOf(values.slice(13)));
  expect(halves.count).toBe(50);
  expect(halves.mean).toBeCloseTo(whole.mean, 6);
  expect(halves.squares).toBeCloseTo(whole.squares, 4);
  const mean = values.reduce((sum, value) => sum + (value - 1e8), 0) / 50;
  const squares = values.reduce((sum, value) => sum + (value - 1e8 - mean) ** 2, 0);
  expect(whole.squares).toBeCloseTo(squares, 4);
  expect(merged(noMoments, whole)).toBe(whole);
});
