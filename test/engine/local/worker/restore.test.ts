/** @file A restore that cannot be done leaves the policy as it was. */

import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { trainBpe, writeTokenizer } from "../../../../src/engine/local/tokenizer/train-bpe.ts";
import { type LocalPolicy, openLocalPolicy } from "../../../../src/engine/local/worker/local-policy.ts";
import { key } from "../../../../src/random/stream.ts";

let scratch: string;
let folder: string;
let policy: LocalPolicy;
const batch = [{ tokens: Int32Array.of(4, 8, 15, 16, 23, 42), mask: Uint8Array.of(0, 1, 1, 1, 1, 1) }];

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "troupe-restore-"));
  folder = join(scratch, "model");
  cpSync(fileURLToPath(new URL("../../../fixtures/models/qwen3", import.meta.url)), folder, {
    recursive: true,
  });
  const tokenizer = trainBpe(["the cat sat on the mat, the cat"], {
    vocabularySize: 259,
    specialTokens: ["<|end|>"],
  });
  await writeTokenizer(folder, tokenizer);
  policy = await openLocalPolicy("small", folder);
});
afterAll(async () => {
  await policy.close();
  rmSync(scratch, { recursive: true });
});

async function learn(): Promise<void> {
  const { logprobs } = await policy.forward(batch);
  await policy.backward(batch, { logprobs: logprobs.map(() => -1) });
  await policy.step({ learningRate: 0.01 });
}
const view = async () => Array.from((await policy.forward(batch)).logprobs);

test("a folder without optimiser state", async () => {
  await policy.save(join(scratch, "weights-only"));
  await learn();
  const before = await view();
  await expect(policy.restore(join(scratch, "weights-only"))).rejects.toMatchObject({
    code: "E_CHECKPOINT_MISSING_FILE",
    message: expect.stringContaining("trainer_state.json"),
  });
  expect(await view()).toEqual(before);
  expect(policy.version).toBe(1);
});

test("a checkpoint of another model", async () => {
  const before = await view();
  const other = fileURLToPath(new URL("../../../fixtures/models/llama", import.meta.url));
  await expect(policy.restore(other)).rejects.toMatchObject({ name: "CheckpointError" });
  expect(await view()).toEqual(before);
});

test("while a sample is in flight", async () => {
  await policy.save(join(scratch, "whole"), { optimizer: true });
  // Many long ones: some are in flight whenever the two messages arrive.
  const sampling = Array.from({ length: 64 }, (_, i) =>
    policy.sample({ prompt: Int32Array.of(5, 17), maxTokens: 240, key: key("restore", i) }),
  );
  await expect(policy.restore(join(scratch, "whole"))).rejects.toMatchObject({
    code: "E_STEP_WHILE_SAMPLING",
  });
  for (const { version } of await Promise.all(sampling)) expect(version).toBe(1);
  await policy.restore(join(scratch, "whole"));
});
