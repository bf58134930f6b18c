/** @file The plan's exact parts by hand, its bounds against a measured training step, and what does not fit. */

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  cacheRoom,
  checkMemory,
  fitMemory,
  MemoryPlanError,
  type MemorySettings,
  measureMemory,
  memoryPlan,
} from "../../../src/engine/local/memory-plan.ts";
import { parseConfig } from "../../../src/engine/local/model/parse-config.ts";
import { openBackend } from "../../../src/engine/local/ort/open.ts";
import { trainBpe, writeTokenizer } from "../../../src/engine/local/tokenizer/train-bpe.ts";
import { HostedModel } from "../../../src/engine/local/worker/hosted-model.ts";

const small = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 128,
  intermediate_size: 384,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  max_position_embeddings: 4096,
  tie_word_embeddings: true,
};
/** The shape of Qwen3 0.6B. */
const large = {
  architectures: ["Qwen3ForCausalLM"],
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 151936,
  max_position_embeddings: 40960,
  tie_word_embeddings: true,
};
const smallConfig = parseConfig(small);
const largeConfig = parseConfig(large);

const part = (settings: MemorySettings, name: string, config = largeConfig) =>
  memoryPlan(config, settings).parts.find((entry) => entry.name === name)?.bytes;

describe("exact parts", () => {
  // Embedding 151936·1024; a layer: 2·1024·2048 + 2·1024·1024 + 3·1024·3072 + 2·1024 + 2·128; final norm 1024.
  const parameters = 151936 * 1024 + 28 * (2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072 + 2304) + 1024;

  test("weights, gradients and moments of full training", () => {
    const plan = memoryPlan(largeConfig);
    expect(plan.parameterCount).toBe(parameters);
    expect(part({}, "weights")).toBe(4 * parameters);
    expect(part({}, "gradients")).toBe(4 * parameters);
    expect(part({}, "AdamW moments")).toBe(8 * parameters);
  });

  test("an adapter trains little and leaves the base once", () => {
    const lora = { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] } as const;
    const adapter = 28 * 8 * (1024 + 2048 + 1024 + 1024);
    expect(memoryPlan(largeConfig, { lora }).trainedCount).toBe(adapter);
    expect(part({ lora }, "gradients")).toBe(4 * adapter);
    expect(part({ lora }, "weights")).toBe(4 * (parameters + adapter));
  });

  test("a base that another policy holds is not counted again", () => {
    const lora = { rank: 8, alpha: 16, targets: ["q_proj"] } as const;
    expect(part({ lora, baseInMemory: true }, "weights")).toBe(4 * 28 * 8 * (1024 + 2048));
  });

  test("a frozen policy has neither gradients nor activations", () => {
    const plan = memoryPlan(largeConfig, { trainable: false });
    expect(plan.parts.map(({ name }) => name)).toEqual(["process", "weights", "keys and values", "sampling"]);
    expect(plan.trainedCount).toBe(0);
  });

  test("keys and values of one token in every slot", () => {
    // 28 layers, keys and values, 8 heads of 128, 16 slots and two spare rows.
    expect(memoryPlan(largeConfig, { slots: 16 }).cacheBytesPerToken).toBe(28 * 2 * 8 * 128 * 4 * 18);
  });

  test("a value head adds its weights, trained or not", () => {
    const before = memoryPlan(smallConfig).trainedCount;
    expect(memoryPlan(smallConfig, { valueHead: true }).trainedCount).toBe(before + 129);
    expect(memoryPlan(smallConfig, { valueHead: 3 }).trainedCount).toBe(before + 3 * 129);
    expect(memoryPlan(smallConfig, { valueHead: 0 }).trainedCount).toBe(before);
  });

  test("parts add up", () => {
    const { parts, totalBytes } = memoryPlan(smallConfig);
    expect(parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(totalBytes);
    expect(parts.every(({ bytes }) => Number.isFinite(bytes) && bytes > 0)).toBe(true);
  });
});

describe("a plan that does not fit", () => {
  const machine = (bytes: number) => ({ available: bytes, total: bytes });

  test("microbatches are halved until the machine is not overfull", () => {
    const whole = memoryPlan(largeConfig).totalBytes;
    expect(fitMemory(largeConfig, {}, machine(whole / 0.79)).settings.microbatchTokens).toBe(8192);
    const smaller = fitMemory(largeConfig, {}, machine(whole / 0.81));
    expect(smaller.settings.microbatchTokens).toBe(4096);
    expect(smaller.totalBytes).toBeLessThanOrEqual(0.8 * (whole / 0.81));
  });

  test("what other programs hold now changes no setting: it only refuses", () => {
    const whole = memoryPlan(largeConfig).totalBytes;
    expect(() => fitMemory(largeConfig, {}, { available: whole - 1, total: 2 * whole })).toThrow(
      MemoryPlanError,
    );
  });

  test("nor is a microbatch lowered that the user chose", () => {
    const settings = { microbatchTokens: 8192 };
    const { totalBytes } = memoryPlan(largeConfig, settings);
    expect(() => fitMemory(largeConfig, settings, machine(totalBytes - 1))).toThrow(
      /lower microbatchTokens \(8192\)/,
    );
  });

  test("is refused with the numbers", () => {
    let refused: unknown;
    try {
      fitMemory(largeConfig, {}, machine(6e9));
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(MemoryPlanError);
    expect(refused).toMatchObject({ code: "E_MEMORY_PLAN", facts: { available: 6e9 } });
    expect(String(refused)).toMatch(
      /needs \d+\.\d\d GB; 6\.00 GB are available\. Most of it: AdamW moments 4\.77 GB/,
    );
    expect(String(refused)).toMatch(/train a LoRA adapter/);
  });

  test("says so when no setting can help", () => {
    expect(() => fitMemory(largeConfig, {}, machine(1e9))).toThrow(
      /the weights alone do not fit: choose a smaller model/,
    );
  });

  test("the exact limit fits, one byte less does not", () => {
    const plan = memoryPlan(smallConfig);
    expect(() => checkMemory(plan, plan.totalBytes)).not.toThrow();
    expect(() => checkMemory(plan, plan.totalBytes - 1)).toThrow(MemoryPlanError);
  });

  test("what is left becomes room for tokens, up to the context", () => {
    const plan = memoryPlan(smallConfig, { slots: 4 });
    expect(cacheRoom(plan, plan.totalBytes)).toBe(plan.cacheTokens);
    expect(cacheRoom(plan, plan.totalBytes + 10 * plan.cacheBytesPerToken)).toBe(plan.cacheTokens + 10);
    expect(cacheRoom(plan, 1e15)).toBe(4096);
    expect(cacheRoom(plan, 0)).toBe(0);
  });

  test("this machine has memory", () => {
    const { available, total } = measureMemory();
    expect(available).toBeGreaterThan(1e6);
    expect(total).toBeGreaterThanOrEqual(available);
  });
});

test("opening a policy that does not fit is refused with the numbers, before anything is allocated", async () => {
  const folder = mkdtempSync(join(tmpdir(), "troupe-memory-"));
  cpSync(fileURLToPath(new URL("../../fixtures/models/qwen3", import.meta.url)), folder, { recursive: true });
  await writeTokenizer(
    folder,
    trainBpe(["the cat sat on the mat, the cat"], { vocabularySize: 259, specialTokens: ["<|end|>"] }),
  );
  const backend = await openBackend({ threads: 1 });
  try {
    const before = process.memoryUsage().rss;
    await expect(HostedModel.open(backend, 1, folder, { slots: 100_000_000 })).rejects.toMatchObject({
      code: "E_MEMORY_PLAN",
      message: expect.stringMatching(
        /keys and values [\d.]+ GB \(100000000 slots .*\n.*lower slots \(100000000\)/,
      ),
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  } finally {
    backend.dispose();
    rmSync(folder, { recursive: true });
  }
});

describe("the bounds", () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));

  test.each([
    ["many short sequences", small, 2048, 64],
    ["a large vocabulary", { ...small, num_hidden_layers: 1, vocab_size: 16384 }, 512, 128],
    ["one long sequence", { ...small, num_hidden_layers: 2 }, 1536, 1536],
  ])("hold for a measured training step: %s", (_name, config, microbatchTokens, sequenceTokens) => {
    const plan = memoryPlan(parseConfig(config), {
      contextLength: sequenceTokens,
      microbatchTokens,
      slots: 1,
    });
    const child = spawnSync(
      process.execPath,
      ["test/engine/local/measured-step.mjs", JSON.stringify({ config, microbatchTokens, sequenceTokens })],
      { cwd: root, encoding: "utf8" },
    );
    expect(child.status, child.stderr).toBe(0);
    const { peakBytes } = JSON.parse(child.stdout) as { peakBytes: number };
    // The process itself is the larger part here, and has no trainer and no user's code in it.
    expect(plan.totalBytes / peakBytes).toBeGreaterThan(0.95);
    expect(plan.totalBytes / peakBytes).toBeLessThan(2.5);
  });
});
