/** @file AdamW against a float64 loop, its clipping and its refusals. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdamW, AdamWKernel, type AdamWSettings } from "../../../../src/engine/local/model/adamw.ts";
import { type ParameterTable, parameterTable } from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { uniform } from "./fixtures.ts";

let backend: OrtBackend;
let kernel: AdamWKernel;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
  kernel = await AdamWKernel.create(backend);
});
afterAll(() => backend.dispose());

/** More than one slice, lengths that are no multiple of the alignment, decayed and not by turns. */
const table = parameterTable([
  ["first.weight", [3, 7]],
  ["norm.weight", [13]],
  ["large.weight", [700, 800]],
  ["large.bias", [5]],
  ["last.weight", [2, 2]],
]);

const settings: AdamWSettings = {
  learningRate: 0.01,
  betas: [0.9, 0.95],
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxGradientNorm: 5,
};

function fill(flat: Float32Array, of: ParameterTable, next: () => number, scale: number): void {
  for (const { offset, length } of of.parameters) {
    for (let i = 0; i < length; i++) flat[offset + i] = (next() - 0.5) * scale;
  }
}

function subject() {
  const weights = new FlatTensors(backend, table);
  fill(weights.flat, table, uniform(1), 2);
  const gradients = new FlatTensors(backend, table);
  return { weights, gradients, optimizer: new AdamW(kernel, weights, gradients) };
}

/** Plain loops over one buffer in float64. */
class Reference {
  readonly weights: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
  steps = 0;

  constructor(weights: Float32Array) {
    this.weights = Float64Array.from(weights);
    this.first = new Float64Array(weights.length);
    this.second = new Float64Array(weights.length);
  }

  step(
    gradients: Float32Array,
    { learningRate, betas, epsilon, weightDecay, maxGradientNorm }: AdamWSettings,
  ) {
    this.steps++;
    const [b1, b2] = betas;
    const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
    const scale = maxGradientNorm !== undefined && norm > maxGradientNorm ? maxGradientNorm / norm : 1;
    for (const { name, offset, length } of table.parameters) {
      const decay = name === "norm.weight" || name.endsWith(".bias") ? 0 : weightDecay;
      for (let i = offset; i < offset + length; i++) {
        const g = gradients[i]! * scale;
        this.first[i] = b1 * this.first[i]! + (1 - b1) * g;
        this.second[i] = b2 * this.second[i]! + (1 - b2) * g * g;
        const first = this.first[i]! / (1 - b1 ** this.steps);
        const second = this.second[i]! / (1 - b2 ** this.steps);
        const update = first / (Math.sqrt(second) + epsilon);
        this.weights[i] = this.weights[i]! - learningRate * (decay * this.weights[i]! + update);
      }
    }
    return norm;
  }
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let difference = 0;
  for (let i = 0; i < b.length; i++) difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
  return difference;
};

describe("AdamW", () => {
  it("follows the float64 loop over several steps, with decay, clipping and bias corrections", () => {
    const { weights, gradients, optimizer } = subject();
    const reference = new Reference(weights.flat);
    const next = uniform(2);
    const clipped: boolean[] = [];
    for (let step = 0; step < 5; step++) {
      // Once far above, once below the clipping norm.
      fill(gradients.flat, table, next, step % 2 === 0 ? 0.1 : 0.001);
      const norm = reference.step(gradients.flat, settings);
      const result = optimizer.step(settings);
      clipped.push(result.clipped);
      expect(Math.abs(result.gradientNorm / norm - 1)).toBeLessThan(1e-12);
      expect(worst(weights.flat, reference.weights)).toBeLessThan(2e-6);
      expect(worst(optimizer.first, reference.first)).toBeLessThan(1e-8);
    }
    expect(clipped).toEqual([true, false, true, false, true]);
    expect(optimizer.steps).toBe(5);
  });

  it("decays matrices only", () => {
    const { weights, optimizer } = subject();
    const before = weights.flat.slice();
    optimizer.step({ ...settings, weightDecay: 0.5, learningRate: 0.1 });
    const at = (name: string) => weights.parameter(name).offset;
    for (const name of ["first.weight", "large.weight", "last.weight"]) {
      expect(weights.flat[at(name)]).toBeCloseTo(before[at(name)]! * 0.95, 6);
    }
    for (const name of ["norm.weight", "large.bias"]) expect(weights.flat[at(name)]).toBe(before[at(name)]);
  });

  it("leaves gradients as they were and alignment gaps at zero", () => {
    const { weights, gradients, optimizer } = subject();
    fill(gradients.flat, table, uniform(2), 1);
    const before = gradients.flat.slice();
    optimizer.step(settings);
    expect(worst(gradients.flat, before)).toBe(0);
    const used = new Uint8Array(table.flatLength);
    for (const { offset, length } of table.parameters) used.fill(1, offset, offset + length);
    for (const flat of [weights.flat, optimizer.first, optimizer.second]) {
      expect(flat.every((value, i) => used[i] === 1 || value === 0)).toBe(true);
    }
  });

  it("survives gradients whose squares leave float32", () => {
    const { weights, gradients, optimizer } = subject();
    gradients.flat.fill(1e25, 0, 21);
    const { gradientNorm } = optimizer.step(settings);
    expect(gradientNorm / (1e25 * Math.sqrt(21))).toBeCloseTo(1, 6);
    expect(weights.flat.every(Number.isFinite)).toBe(true);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "refuses a gradient of %s by name, changing nothing",
    (bad) => {
      const { weights, gradients, optimizer } = subject();
      fill(gradients.flat, table, uniform(2), 1);
      gradients.view("large.weight")[1234] = bad;
      const before = weights.flat.slice();
      expect(() => optimizer.step(settings)).toThrow(
        expect.objectContaining({
          code: "E_GRADIENT_NON_FINITE",
          facts: { parameter: "large.weight", index: 1234, value: bad },
        }),
      );
      expect(worst(weights.flat, before)).toBe(0);
      expect(worst(optimizer.first, new Float32Array(before.length))).toBe(0);
      expect(optimizer.steps).toBe(0);
    },
  );

  it("continues from its moments and step count, to the bit", () => {
    const one = subject();
    const other = subject();
    const next = uniform(5);
    const step = ({ gradients, optimizer }: ReturnType<typeof subject>, from: Float32Array) => {
      gradients.flat.set(from);
      optimizer.step(settings);
    };
    const batches = Array.from({ length: 4 }, () => {
      const flat = new Float32Array(table.flatLength);
      fill(flat, table, next, 0.01);
      return flat;
    });
    for (const batch of batches) step(one, batch);
    for (const batch of batches.slice(0, 2)) step(other, batch);
    const resumed = subject();
    resumed.weights.flat.set(other.weights.flat);
    resumed.optimizer.first.set(other.optimizer.first);
    resumed.optimizer.second.set(other.optimizer.second);
    resumed.optimizer.steps = other.optimizer.steps;
    for (const batch of batches.slice(2)) step(resumed, batch);
    expect(worst(resumed.weights.flat, one.weights.flat)).toBe(0);
  });

  it.each([
    { learningRate: Number.NaN },
    { learningRate: -1 },
    { betas: [0.9, 1] as const },
    { epsilon: 0 },
    { weightDecay: -0.1 },
    { maxGradientNorm: 0 },
  ])("refuses %o", (bad) => {
    expect(() => subject().optimizer.step({ ...settings, ...bad })).toThrow(
      expect.objectContaining({ code: "E_ADAMW_SETTINGS" }),
    );
  });
});
