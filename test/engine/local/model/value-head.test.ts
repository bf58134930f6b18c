/** @file Several value heads are as many single ones, to the bit. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { parameterTable, valueHeadShapes } from "../../../../src/engine/local/model/parameters.ts";
import { valueBackward, valueForward, valueHeadsOf } from "../../../../src/engine/local/model/value-head.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend, OrtTensor } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { tinyConfig, uniform } from "./fixtures.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 1 });
});
afterAll(() => backend.dispose());

const config = tinyConfig("llama");
const size = config.hiddenSize;
const positions = 7;
const next = uniform(3);
const numbers = (length: number) => Float32Array.from({ length }, () => next() - 0.5);

function headsOf(weight: Float32Array, bias: Float32Array): FlatTensors {
  const made = new FlatTensors(backend, parameterTable(valueHeadShapes(config, bias.length)));
  made.view("value_head.weight").set(weight);
  made.view("value_head.bias").set(bias);
  return made;
}

const empty = (heads: number) => new FlatTensors(backend, parameterTable(valueHeadShapes(config, heads)));

/** Every `heads`th number, from `head`. */
const ofHead = (values: Float32Array, head: number, heads: number) =>
  values.filter((_, i) => i % heads === head);

it.each([1, 2, 3])("%d heads: values and gradients are those of each alone", (heads) => {
  const weight = numbers(heads * size);
  const bias = numbers(heads);
  const hidden: OrtTensor = backend.tensor(numbers(positions * size), [positions, size]);
  const slopes = numbers(positions * heads);
  const all = headsOf(weight, bias);
  expect(valueHeadsOf(all)).toBe(heads);
  const values = valueForward(all, hidden);
  const gradients = empty(heads);
  const hiddenGradient = new Float32Array(positions * size);
  valueBackward(all, hidden, slopes, gradients, hiddenGradient);

  const summed = new Float64Array(positions * size);
  for (let head = 0; head < heads; head++) {
    const alone = headsOf(weight.subarray(head * size, (head + 1) * size), bias.subarray(head, head + 1));
    expect(ofHead(values, head, heads)).toEqual(valueForward(alone, hidden));
    const ownGradients = empty(1);
    const ownHidden = new Float32Array(positions * size);
    valueBackward(alone, hidden, ofHead(slopes, head, heads), ownGradients, ownHidden);
    expect(gradients.view("value_head.weight").subarray(head * size, (head + 1) * size)).toEqual(
      ownGradients.view("value_head.weight"),
    );
    expect(gradients.view("value_head.bias")[head]).toBe(ownGradients.view("value_head.bias")[0]);
    ownHidden.forEach((slope, i) => {
      summed[i]! += slope;
    });
  }
  hiddenGradient.forEach((slope, i) => {
    expect(slope).toBeCloseTo(summed[i]!, 6);
  });
});

it("one head is v = w·h + b, added up from the bias in float64", () => {
  const weight = numbers(size);
  const bias = numbers(1);
  const rows = numbers(positions * size);
  const values = valueForward(headsOf(weight, bias), backend.tensor(rows, [positions, size]));
  const byHand = Float32Array.from({ length: positions }, (_, n) =>
    weight.reduce((sum, w, d) => sum + w * rows[n * size + d]!, bias[0]!),
  );
  expect(values).toEqual(byHand);
});

it("gradients are added to what is there", () => {
  const all = headsOf(numbers(2 * size), numbers(2));
  const hidden = backend.tensor(numbers(size), [1, size]);
  const gradients = empty(2);
  gradients.flat.fill(1);
  valueBackward(all, hidden, Float32Array.of(0, 0.25), gradients, new Float32Array(size));
  expect([...gradients.view("value_head.bias")]).toEqual([1, 1.25]);
  expect(
    gradients
      .view("value_head.weight")
      .subarray(0, size)
      .every((g) => g === 1),
  ).toBe(true);
});

it("no heads have no shapes", () => {
  expect(valueHeadShapes(config, 0)).toEqual([]);
  expect(valueHeadShapes(config)).toEqual(valueHeadShapes(config, 1));
  expect(valueHeadsOf(new FlatTensors(backend, parameterTable([["other", [2]]])))).toBe(0);
});
