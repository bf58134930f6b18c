/** @file The chunked head against a float64 one: values, gradients against its slopes, chunking, accumulation. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DecoderHead, type HeadRows } from "../../../../src/engine/local/model/head.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { uniform } from "./fixtures.ts";
import { referenceHead } from "./reference-head.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
});
afterAll(() => backend.dispose());

const hiddenSize = 6;
const vocabularySize = 23;
const count = 11;

function random(length: number, seed: number, scale = 1): Float32Array {
  const next = uniform(seed);
  return Float32Array.from({ length }, () => (next() - 0.5) * 2 * scale);
}

function rowsOf(seed: number, scale = 1): HeadRows {
  const next = uniform(seed + 1000);
  return {
    hidden: backend.tensor(random(count * hiddenSize, seed, scale), [count, hiddenSize]),
    weight: backend.tensor(random(vocabularySize * hiddenSize, seed + 1, scale), [
      vocabularySize,
      hiddenSize,
    ]),
    // Few different targets: rows of the weight's gradient are added to more than once.
    targets: Int32Array.from({ length: count }, () => Math.floor(next() * 4)),
    inverseTemperatures: Float32Array.from({ length: count }, (_, n) => (n % 3 === 0 ? 1 / 0.7 : 1)),
  };
}

const headOf = (chunkRows: number, trainable = true): Promise<DecoderHead> =>
  DecoderHead.create(backend, {
    ...{ hiddenSize, vocabularySize, trainable },
    chunkBytes: chunkRows * vocabularySize * 4,
  });

/** Values and slopes of Σ g·ℓ + Σ h·H by central differences of the float64 head. */
function reference(rows: HeadRows, g: Float32Array, h: Float32Array | null) {
  const hidden = Float64Array.from(rows.hidden.data as Float32Array);
  const weight = Float64Array.from(rows.weight.data as Float32Array);
  const evaluate = () =>
    referenceHead({
      ...rows,
      weight,
      hidden: Array.from({ length: count }, (_, n) => hidden.subarray(n * hiddenSize, (n + 1) * hiddenSize)),
    });
  const objective = () => {
    const { logprobs, entropies } = evaluate();
    return logprobs.reduce((sum, l, n) => sum + l * g[n]! + (h ? entropies[n]! * h[n]! : 0), 0);
  };
  const slopes = (values: Float64Array) =>
    values.map((before, i) => {
      values[i] = before + 1e-5;
      const above = objective();
      values[i] = before - 1e-5;
      const slope = (above - objective()) / 2e-5;
      values[i] = before;
      return slope;
    });
  return { ...evaluate(), hiddenSlopes: slopes(hidden), weightSlopes: slopes(weight) };
}

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
  return difference;
}

describe.each([
  { name: "one chunk", chunkRows: 100 },
  { name: "chunks of four", chunkRows: 4 },
  { name: "chunks of one row", chunkRows: 1 },
])("$name", ({ chunkRows }) => {
  it.each([
    { terms: "log-probs", withEntropy: false },
    { terms: "log-probs and entropies", withEntropy: true },
  ])("gives the reference's values and slopes of $terms", async ({ withEntropy }) => {
    const head = await headOf(chunkRows);
    const rows = rowsOf(1);
    const g = random(count, 5);
    const h = withEntropy ? random(count, 6) : null;
    const expected = reference(rows, g, h);
    const start = random(vocabularySize * hiddenSize, 7);
    for (const order of ["after forward", "alone"] as const) {
      if (order === "after forward") {
        const { logprobs, entropies } = head.forward(rows, { entropy: withEntropy });
        expect(worst(logprobs, expected.logprobs)).toBeLessThan(2e-6);
        if (withEntropy) expect(worst(entropies!, expected.entropies)).toBeLessThan(2e-6);
      }
      const hidden = new Float32Array(count * hiddenSize).fill(9);
      const sum = start.slice();
      const weight = backend.tensor(sum, [vocabularySize, hiddenSize]);
      head.backward(rows, { logprobs: g, ...(h && { entropies: h }) }, { hidden, weight });
      expect(worst(hidden, expected.hiddenSlopes)).toBeLessThan(3e-6);
      expect(
        worst(
          sum.map((v, i) => v - start[i]!),
          expected.weightSlopes,
        ),
      ).toBeLessThan(3e-6);
    }
    head.dispose();
  });

  it("does forward and backward at once", async () => {
    const head = await headOf(chunkRows);
    const rows = rowsOf(2);
    const g = random(count, 5);
    const separate = { hidden: new Float32Array(count * hiddenSize), weight: zeros() };
    const { logprobs } = head.forward(rows);
    head.backward(rows, { logprobs: g }, separate);
    const fused = { hidden: new Float32Array(count * hiddenSize), weight: zeros() };
    expect(head.forwardBackward(rows, { logprobs: g }, fused).logprobs).toEqual(logprobs);
    expect(fused.hidden).toEqual(separate.hidden);
    expect(fused.weight.data).toEqual(separate.weight.data);
    head.dispose();
  });

  it("gives the same log-probs with and without entropies", async () => {
    const head = await headOf(chunkRows);
    const rows = rowsOf(3);
    expect(worst(head.forward(rows).logprobs, head.forward(rows, { entropy: true }).logprobs)).toBeLessThan(
      1e-6,
    );
    head.dispose();
  });
});

const zeros = () =>
  backend.tensor(new Float32Array(vocabularySize * hiddenSize), [vocabularySize, hiddenSize]);

it("uses what forward left only for the same rows and the same weights", async () => {
  const head = await headOf(100);
  const [a, b] = [rowsOf(1), rowsOf(2)];
  const g = random(count, 5);
  const gradient = (rows: HeadRows) => {
    const hidden = new Float32Array(count * hiddenSize);
    head.backward(rows, { logprobs: g }, { hidden, weight: null });
    return hidden;
  };
  const [ofA, ofB] = [gradient(a), gradient(b)];
  head.forward(a);
  expect(gradient(b)).toEqual(ofB);
  head.forward(a, { entropy: true });
  expect(worst(gradient(a), ofA)).toBeLessThan(1e-6);
  head.forward(a);
  (a.weight.data as Float32Array).set(b.weight.data as Float32Array);
  head.release();
  expect(worst(gradient(a), ofA)).toBeGreaterThan(1e-2);
  head.dispose();
});

it("keeps a log-prob finite and right where its probability is 0 in float32", async () => {
  const head = await headOf(4);
  const rows = rowsOf(4, 12);
  const { logprobs } = reference(rows, new Float32Array(count), null);
  expect(Math.min(...logprobs)).toBeLessThan(-120);
  const got = head.forward(rows).logprobs;
  const relative = Math.max(...logprobs.map((l, n) => Math.abs(got[n]! - l) / Math.max(1, Math.abs(l))));
  expect(relative).toBeLessThan(2e-6);
  head.dispose();
});

it("freezes the weight", async () => {
  const head = await headOf(4, false);
  const rows = rowsOf(1);
  const g = random(count, 5);
  const hidden = new Float32Array(count * hiddenSize);
  head.backward(rows, { logprobs: g }, { hidden, weight: null });
  expect(worst(hidden, reference(rows, g, null).hiddenSlopes)).toBeLessThan(3e-6);
  expect(() => head.backward(rows, { logprobs: g }, { hidden, weight: rows.weight })).toThrow(
    expect.objectContaining({ code: "E_HEAD_FROZEN" }),
  );
  head.dispose();
});

it("names a row whose log-prob is not finite, a stray target and a wrong shape", async () => {
  const head = await headOf(4);
  const rows = rowsOf(1);
  const broken = (rows.hidden.data as Float32Array).slice();
  broken[5 * hiddenSize + 2] = Number.NaN;
  const hidden = backend.tensor(broken, [count, hiddenSize]);
  expect(() => head.forward({ ...rows, hidden })).toThrow(/row 5 of 11/);
  expect(() => head.forward({ ...rows, hidden }, { entropy: true })).toThrow(/row 5 of 11/);
  const targets = rows.targets.with(3, vocabularySize);
  expect(() => head.forward({ ...rows, targets })).toThrow(
    expect.objectContaining({ code: "E_HEAD_TARGET" }),
  );
  expect(() => head.forward({ ...rows, targets: rows.targets.subarray(1) })).toThrow(
    expect.objectContaining({ code: "E_HEAD_SHAPE" }),
  );
  head.dispose();
});

it("adds repeated targets up to the same bits on every run, at 4096 rows and two threads", async () => {
  const [n, d, v] = [4096, 16, 64];
  const head = await DecoderHead.create(backend, {
    ...{ hiddenSize: d, vocabularySize: v },
    chunkBytes: 1000 * v * 4,
  });
  const next = uniform(3);
  const rows: HeadRows = {
    hidden: backend.tensor(random(n * d, 1), [n, d]),
    weight: backend.tensor(random(v * d, 2), [v, d]),
    targets: Int32Array.from({ length: n }, () => Math.floor(next() * 5)),
    inverseTemperatures: new Float32Array(n).fill(1),
  };
  const g = random(n, 4);
  const run = () => {
    const sum = new Float32Array(v * d);
    const hidden = new Float32Array(n * d);
    head.backward(rows, { logprobs: g }, { hidden, weight: backend.tensor(sum, [v, d]) });
    return { sum, hidden };
  };
  const bits = (array: Float32Array) => Buffer.from(array.buffer).toString("base64");
  const first = run();
  for (let again = 0; again < 10; again++) {
    const { sum, hidden } = run();
    expect(bits(sum) === bits(first.sum) && bits(hidden) === bits(first.hidden)).toBe(true);
  }
  head.dispose();
});
