/** @file Gradients of small networks against finite differences, Adam by hand, and sizes. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  adamStep,
  backward,
  forward,
  initialParameters,
  type NetworkShape,
  noMoments,
  parameterCount,
} from "../../../src/methods/schedule/small-network.ts";
import { stream } from "../../../src/random/stream.ts";

const shapes = fc.record({
  widths: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 4 }),
  activation: fc.constantFrom("gelu" as const, "relu" as const),
});

/** L = Σ c_i out_i + ½ Σ out_i², so that ∂L/∂out = c + out. */
function lossOf(shape: NetworkShape, parameters: Float64Array, input: Float64Array, c: Float64Array): number {
  const { output } = forward(shape, parameters, input);
  return output.reduce((sum, out, i) => sum + c[i]! * out + 0.5 * out * out, 0);
}

describe("small networks", () => {
  it("gradients are those of finite differences", () => {
    let worst = 0;
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0, max: 1e6 }), (shape, seed) => {
        const random = stream(seed, "test");
        const normal = (length: number) => Float64Array.from({ length }, () => random.normal());
        const parameters = normal(parameterCount(shape));
        const input = normal(shape.widths[0]!);
        const c = normal(shape.widths.at(-1)!);
        const pass = forward(shape, parameters, input);
        // ReLU has no slope at 0; a step of 1e-6 must not cross it.
        fc.pre(shape.activation === "gelu" || pass.sums.every((sum) => sum.every((z) => Math.abs(z) > 1e-4)));
        const gradients = new Float64Array(parameters.length).fill(1);
        backward(
          shape,
          parameters,
          pass,
          pass.output.map((out, i) => c[i]! + out),
          gradients,
        );
        for (const i of parameters.keys()) {
          const moved = (by: number) => parameters.with(i, parameters[i]! + by);
          const step = 1e-6;
          const difference =
            (lossOf(shape, moved(step), input, c) - lossOf(shape, moved(-step), input, c)) / (2 * step);
          // The ones that were there already stay: gradients are added.
          const error = Math.abs(gradients[i]! - 1 - difference) / (1 + Math.abs(difference));
          worst = Math.max(worst, error);
          expect(error).toBeLessThan(1e-6);
        }
      }),
      { numRuns: 60 },
    );
    expect(worst).toBeGreaterThan(0);
  });

  it("values of GELU and ReLU", () => {
    const one = (activation: "gelu" | "relu", x: number) =>
      forward({ widths: [1, 1, 1], activation }, Float64Array.of(1, 0, 1, 0), [x]).output[0]!;
    expect(one("gelu", 1)).toBeCloseTo(0.841192, 6);
    expect(one("gelu", -1)).toBeCloseTo(-0.158808, 6);
    expect(one("relu", -1)).toBe(0);
    expect(one("relu", 2)).toBe(2);
  });

  it("starts within ±1/√inputs, the same for the same stream", () => {
    const shape = { widths: [4, 3, 2], activation: "relu" } as const;
    expect(parameterCount(shape)).toBe(4 * 3 + 3 + 3 * 2 + 2);
    const parameters = initialParameters(shape, stream(1, "network"));
    expect(parameters).toEqual(initialParameters(shape, stream(1, "network")));
    expect(Math.max(...parameters.subarray(0, 15).map(Math.abs))).toBeLessThanOrEqual(1 / 2);
    expect(Math.max(...parameters.subarray(0, 15).map(Math.abs))).toBeGreaterThan(1 / 4);
    expect(Math.max(...parameters.subarray(15).map(Math.abs))).toBeGreaterThan(1 / 3);
    expect(Math.max(...parameters.subarray(15).map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(3));
  });

  it("Adam by hand", () => {
    const parameters = Float64Array.of(1, 1);
    const moments = noMoments(2);
    adamStep(parameters, Float64Array.of(0.5, -2), moments, 0.1);
    // The first step is of the learning rate, whatever the gradient.
    expect(parameters[0]).toBeCloseTo(0.9, 8);
    expect(parameters[1]).toBeCloseTo(1.1, 8);
    adamStep(parameters, Float64Array.of(0, -2), moments, 0.1);
    const first = (0.9 * 0.05) / (1 - 0.81);
    const second = (0.999 * 0.00025) / (1 - 0.999 ** 2);
    expect(parameters[0]).toBeCloseTo(0.9 - (0.1 * first) / (Math.sqrt(second) + 1e-8), 8);
    expect(parameters[1]).toBeCloseTo(1.2, 8);
  });

  it("refuses inputs and gradients of other sizes", () => {
    const shape = { widths: [2, 1], activation: "relu" } as const;
    expect(() => forward(shape, new Float64Array(3), [1])).toThrow(/has 1 numbers; the network has 2/);
    const pass = forward(shape, new Float64Array(3), [1, 2]);
    expect(() => backward(shape, new Float64Array(3), pass, [1, 2], new Float64Array(3))).toThrow(
      /2 numbers/,
    );
  });
});
