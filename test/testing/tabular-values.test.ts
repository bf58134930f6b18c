/** @file Value heads of the tabular policy: layout, gradients, checkpoints. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { TabularPolicy } from "../../src/testing/tabular-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";

const scratch = mkdtempSync(join(tmpdir(), "troupe-tabular-values-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const words = ["a", "b", "c"];
const open = (valueHead: boolean | number) =>
  tabularPolicy({ words, valueHead }).open({ name: "p", seed: 0 });
/** The pair (3, 4) is there twice. */
const batch = [
  { tokens: Int32Array.of(2, 3, 4, 2), mask: Uint8Array.of(0, 1, 1, 1) },
  { tokens: Int32Array.of(3, 4, 0), mask: Uint8Array.of(0, 0, 1) },
];
const values = async (policy: TabularPolicy) => [...(await policy.forward(batch, { values: true })).values!];
const numbers = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i + 1));

async function learn(policy: TabularPolicy, heads: number): Promise<void> {
  await policy.backward(batch, { logprobs: numbers(4), values: numbers(4 * heads) });
  await policy.step({ learningRate: 0.1 });
}

test("heads of a token are side by side, and each has its own gradient", async () => {
  const policy = await open(3);
  expect(await values(policy)).toEqual(new Array(12).fill(0));
  // The objective Σ c·v at the table's own point, by finite differences of a single step of plain size.
  const c = Float32Array.of(0, 0, 0, 0, 0, 0, 1, 0, -2, 1, 0, 0.5);
  await policy.backward(batch, { logprobs: new Float32Array(4), values: c });
  const { gradientNorm } = await policy.step({ learningRate: 0.5 });
  // The last two tokens follow the same pair: head 0 gets 1 + 1, head 2 gets −2 + 0.5.
  expect(gradientNorm).toBeCloseTo(Math.hypot(2, -1.5), 6);
  const after = await values(policy);
  expect(after.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0]);
  for (const at of [6, 9]) {
    expect(after[at]).toBeCloseTo(-0.5, 5);
    expect(after[at + 1]).toBe(0);
    expect(after[at + 2]).toBeCloseTo(0.5, 5);
  }
});

test("pairs that lie side by side have values of their own", async () => {
  const policy = await open(3);
  // The pairs (2, 3), (2, 4) and (3, 0).
  const pairs = [
    { tokens: Int32Array.of(2, 3, 0), mask: Uint8Array.of(0, 0, 1) },
    { tokens: Int32Array.of(2, 4, 0), mask: Uint8Array.of(0, 0, 1) },
    { tokens: Int32Array.of(3, 0, 2), mask: Uint8Array.of(0, 0, 1) },
  ];
  const c = Float32Array.of(0, 0, 0, 1, 1, 1, 0, 0, 0);
  await policy.backward(pairs, { logprobs: new Float32Array(3), values: c });
  await policy.step({ learningRate: 0.5 });
  const after = [...(await policy.forward(pairs, { values: true })).values!];
  expect(after.map((value) => Math.round(value * 1e4) / 1e4)).toEqual([0, 0, 0, -0.5, -0.5, -0.5, 0, 0, 0]);
});

test("a checkpoint has every head; another number of heads is refused", async () => {
  const folder = join(scratch, "three");
  const policy = await open(3);
  await learn(policy, 3);
  await policy.save(folder, { optimizer: true });
  const again = await open(3);
  await again.restore(folder);
  expect(await values(again)).toEqual(await values(policy));
  await Promise.all([learn(policy, 3), learn(again, 3)]);
  expect(await values(again)).toEqual(await values(policy));
  for (const heads of [0, 1, 4]) {
    const other = await open(heads);
    await expect(other.restore(folder)).rejects.toMatchObject({ code: "E_TABULAR_CHECKPOINT" });
    expect(other.version).toBe(0);
  }
});

test("true and 1 are the same; the record says so", async () => {
  const [left, right] = [await open(true), await open(1)];
  await Promise.all([learn(left, 1), learn(right, 1)]);
  expect(await values(left)).toEqual(await values(right));
  const recorded = [true, 1, 3, false, 0].map(
    (valueHead) => tabularPolicy({ words, valueHead }).settings?.valueHead,
  );
  expect(recorded).toEqual([true, true, 3, undefined, undefined]);
  expect(() => tabularPolicy({ words, valueHead: -1 })).toThrow(
    expect.objectContaining({ code: "E_VALUE_HEAD_OPTION" }),
  );
});

test("gradients of another width are refused before anything is added", async () => {
  const policy = await open(2);
  const wrong = { logprobs: numbers(4), values: numbers(4) };
  await expect(policy.backward(batch, wrong)).rejects.toThrow(
    /given 4 gradients of values for 4 scored tokens and 2 value heads/,
  );
  const without = await open(false);
  await expect(without.backward(batch, wrong)).rejects.toMatchObject({ code: "E_GRADIENT_SHAPE" });
  expect((await policy.step({ learningRate: 0.1 })).gradientNorm).toBe(0);
});
