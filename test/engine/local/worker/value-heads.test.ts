/** @file Value heads through the public door: they start at zero, are saved and restored, and mismatches are told. */

import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SafetensorsFile } from "../../../../src/engine/local/checkpoint/safetensors.ts";
import { local } from "../../../../src/engine/local/index.ts";
import { trainBpe, writeTokenizer } from "../../../../src/engine/local/tokenizer/train-bpe.ts";
import { type LocalPolicy, openLocalPolicy } from "../../../../src/engine/local/worker/local-policy.ts";

let scratch: string;
let folder: string;
const batch = [{ tokens: Int32Array.of(4, 8, 15, 16, 23, 42), mask: Uint8Array.of(0, 1, 1, 1, 1, 1) }];
const lora = { rank: 2, alpha: 4, targets: ["q_proj", "v_proj"] } as const;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "troupe-value-heads-"));
  folder = join(scratch, "model");
  cpSync(fileURLToPath(new URL("../../../fixtures/models/qwen3", import.meta.url)), folder, {
    recursive: true,
  });
  const tokenizer = trainBpe(["the cat sat on the mat, the cat"], {
    vocabularySize: 259,
    specialTokens: ["<|end|>"],
  });
  await writeTokenizer(folder, tokenizer);
});
afterAll(() => rmSync(scratch, { recursive: true }));

const valuesOf = async (policy: LocalPolicy) =>
  Array.from((await policy.forward(batch, { values: true })).values!);

/** Moves each head another way. */
async function learn(policy: LocalPolicy, heads: number): Promise<void> {
  await policy.backward(batch, {
    logprobs: new Float32Array(5).fill(-0.1),
    values: Float32Array.from({ length: 5 * heads }, (_, i) => (i % heads) - 1.5),
  });
  await policy.step({ learningRate: 0.01 });
}

describe.each([{ options: {} }, { options: { lora } }])("three heads, $options", ({ options }) => {
  it("start at zero, learn apart, and go on bit-equal from a checkpoint", async () => {
    const saved = join(scratch, `saved-${Object.keys(options).length}`);
    const policy = await openLocalPolicy("three", folder, { ...options, valueHead: 3 });
    expect(await valuesOf(policy)).toEqual(new Array(15).fill(0));
    await learn(policy, 3);
    const learnt = await valuesOf(policy);
    // Gradients −1.5, −0.5, 0.5 on the first token's heads: two values rise, one falls.
    expect(learnt.slice(0, 3).map(Math.sign)).toEqual([1, 1, -1]);
    await policy.save(saved, { optimizer: true });
    await learn(policy, 3);
    const again = await openLocalPolicy("again", folder, { ...options, valueHead: 3 });
    await again.restore(saved);
    expect(await valuesOf(again)).toEqual(learnt);
    await learn(again, 3);
    expect(await valuesOf(again)).toEqual(await valuesOf(policy));
    await Promise.all([policy.close(), again.close()]);
  });
});

it("true and 1 are the same policy, the same files and the same record", async () => {
  const folders = ["true", "one"].map((name) => join(scratch, name));
  for (const [i, valueHead] of [true, 1].entries()) {
    const policy = await openLocalPolicy("one", folder, { valueHead });
    await learn(policy, 1);
    await policy.save(folders[i]!, { optimizer: true });
    await policy.close();
  }
  for (const name of ["value_head.safetensors", "optimizer.safetensors", "model.safetensors"]) {
    const [left, right] = await Promise.all(folders.map((one) => readFile(join(one, name))));
    expect(left!.equals(right!), name).toBe(true);
  }
  const file = await SafetensorsFile.open(join(folders[0]!, "value_head.safetensors"));
  // As checkpoints of one head have always been.
  expect(file.tensors.get("value_head.weight")?.shape).toEqual([1, 32]);
  expect(file.tensors.get("value_head.bias")?.shape).toEqual([1]);
  await file.close();
  const recorded = [true, 1, 3, false, 0].map(
    (valueHead) => local(folder, { valueHead }).settings?.valueHead,
  );
  expect(recorded).toEqual([true, true, 3, false, false]);
  expect(local(folder).settings).toEqual({ folder });
});

it("a folder with another number of heads is refused before anything changes", async () => {
  const saved = join(scratch, "one");
  for (const { valueHead, told } of [
    { valueHead: 3, told: /one was saved with one value head; .* has 3 value heads.*valueHead: true/s },
    { valueHead: false, told: /saved with one value head; .* has no value head.*valueHead: true/s },
  ]) {
    const policy = await openLocalPolicy("other", folder, { valueHead });
    const before = (await policy.forward(batch)).logprobs;
    await expect(policy.restore(saved)).rejects.toMatchObject({
      code: "E_CHECKPOINT_TENSORS",
      message: expect.stringMatching(told),
    });
    expect((await policy.forward(batch)).logprobs).toEqual(before);
    expect(policy.version).toBe(0);
    await policy.close();
  }
  const plain = await openLocalPolicy("plain", folder);
  await plain.backward(batch, { logprobs: new Float32Array(5).fill(1) });
  await plain.step({ learningRate: 0.01 });
  await plain.save(join(scratch, "none"), { optimizer: true });
  await plain.close();
  expect(existsSync(join(scratch, "none", "value_head.safetensors"))).toBe(false);
  const two = await openLocalPolicy("two", folder, { valueHead: 2 });
  await expect(two.restore(join(scratch, "none"))).rejects.toThrow(
    /saved with no value head; .* has 2 value heads.*valueHead: false/s,
  );
  await two.close();
});

it.each([-1, 1.5, Number.NaN, "two" as unknown as number])("valueHead: %s is no count", (valueHead) => {
  expect(() => local(folder, { valueHead })).toThrow(
    expect.objectContaining({
      code: "E_VALUE_HEAD_OPTION",
      message: expect.stringContaining(String(valueHead)),
    }),
  );
});
