/** @file A tiny checkpoint made by transformers, with a tokenizer that fits its vocabulary, in a folder of its own. */

import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { trainBpe, writeTokenizer } from "../../../../src/engine/local/tokenizer/train-bpe.ts";
import type { TrainingSequence } from "../../../../src/engine/policy.ts";

export interface ModelFixture {
  readonly scratch: string;
  readonly folder: string;
  remove(): void;
}

export async function modelFixture(): Promise<ModelFixture> {
  const scratch = mkdtempSync(join(tmpdir(), "troupe-worker-"));
  const folder = join(scratch, "model");
  cpSync(fileURLToPath(new URL("../../../fixtures/models/qwen3", import.meta.url)), folder, {
    recursive: true,
  });
  const tokenizer = trainBpe(["the cat sat on the mat, the cat"], {
    vocabularySize: 259,
    specialTokens: ["<|end|>"],
  });
  await writeTokenizer(folder, tokenizer);
  return { scratch, folder, remove: () => rmSync(scratch, { recursive: true }) };
}

export const batch: readonly TrainingSequence[] = [
  { tokens: Int32Array.of(4, 8, 15, 16, 23, 42), mask: Uint8Array.of(0, 1, 1, 1, 1, 1) },
  { tokens: Int32Array.of(4, 8, 3, 1), mask: Uint8Array.of(0, 0, 1, 1) },
];
