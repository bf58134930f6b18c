/** @file Sampled log-probs against a float64 reference decoder: every family, however the prompt got into the cache. */

import { describe, expect, it } from "vitest";
import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import { tinyConfig } from "../model/fixtures.ts";
import { ask, prompt, sampleAll, tinyModel, worstLogprob } from "./setup.ts";

const families: readonly (readonly [string, DecoderConfig])[] = [
  ["llama", tinyConfig("llama")],
  [
    "llama, untied, all biases",
    tinyConfig("llama", {
      tiedHead: false,
      queryKeyValueBias: true,
      attentionOutputBias: true,
      mlpBias: true,
    }),
  ],
  ["qwen2", tinyConfig("qwen2", { headSize: 16 })],
  ["qwen3", tinyConfig("qwen3", { headSize: 64, layers: 3 })],
  ["head size 6", tinyConfig("qwen3", { headSize: 6 })],
  ["head size 2, one key/value head", tinyConfig("llama", { headSize: 2, keyValueHeads: 1 })],
  [
    "wide inputs, narrow outputs",
    tinyConfig("llama", { hiddenSize: 96, intermediateSize: 384, vocabularySize: 128 }),
  ],
];

describe.each(families)("%s", (_, config) => {
  it("samples what the reference computes, for ragged prompts in one batch", async () => {
    const model = await tinyModel(config);
    const prompts = [1, 2, 3, 7, 12, 13, 29, 30].map((length) => prompt(config, length));
    const sampler = model.sampler();
    const results = sampleAll(
      sampler,
      prompts.map((p, i) => ask({ prompt: p }, i)),
    );
    for (const [i, result] of results.entries()) {
      expect(result.tokens).toHaveLength(8);
      expect(worstLogprob(model, prompts[i]!, result)).toBeLessThan(2e-5);
      expect(result.logprobs).toEqual(result.plainLogprobs);
    }
    expect(sampler.stats.prefillRuns).toBeLessThan(prompts.length);
  });
});
