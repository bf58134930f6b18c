/** @file `config.json` → DecoderConfig: published configs as facts, and everything that is refused by name. */

import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../../src/engine/local/model/parse-config.ts";

/** Fields of published configs (numbers only), old and new spelling. */
const llama32 = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: [128001, 128008, 128009],
  head_dim: 64,
  hidden_act: "silu",
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: "llama",
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32.0,
    high_freq_factor: 4.0,
    low_freq_factor: 1.0,
    original_max_position_embeddings: 8192,
    rope_type: "llama3",
  },
  rope_theta: 500000.0,
  tie_word_embeddings: true,
  vocab_size: 128256,
};
const qwen25 = {
  architectures: ["Qwen2ForCausalLM"],
  hidden_act: "silu",
  hidden_size: 896,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 21,
  model_type: "qwen2",
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000.0,
  sliding_window: 32768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};
const qwen3 = {
  architectures: ["Qwen3ForCausalLM"],
  attention_bias: false,
  head_dim: 128,
  hidden_act: "silu",
  hidden_size: 1024,
  intermediate_size: 3072,
  max_position_embeddings: 40960,
  max_window_layers: 28,
  model_type: "qwen3",
  num_attention_heads: 16,
  num_hidden_layers: 28,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000,
  sliding_window: null,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

describe("published configs", () => {
  test("Llama 3.2 1B", () => {
    const { rope, ...config } = parseConfig(llama32);
    expect(config).toEqual({
      architecture: "llama",
      layers: 16,
      hiddenSize: 2048,
      intermediateSize: 8192,
      heads: 32,
      keyValueHeads: 8,
      headSize: 64,
      vocabularySize: 128256,
      contextLength: 131072,
      normEpsilon: 1e-5,
      tiedHead: true,
      queryKeyValueBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      queryKeyNorm: false,
    });
    expect(rope.inverseFrequencies).toHaveLength(32);
  });

  test("Qwen2.5 0.5B: biases of q, k and v; a window that is not in use", () => {
    expect(parseConfig(qwen25)).toMatchObject({
      architecture: "qwen2",
      headSize: 64,
      queryKeyValueBias: true,
      attentionOutputBias: false,
      mlpBias: false,
      queryKeyNorm: false,
    });
  });

  test("Qwen3 0.6B: norms of q and k; a head size of its own", () => {
    expect(parseConfig(qwen3)).toMatchObject({
      architecture: "qwen3",
      headSize: 128,
      queryKeyNorm: true,
      queryKeyValueBias: false,
    });
  });
});

describe("defaults", () => {
  test("no grouped heads, no head size, no epsilon", () => {
    const { num_key_value_heads: _, head_dim: __, rms_norm_eps: ___, ...old } = llama32;
    expect(parseConfig(old)).toMatchObject({ keyValueHeads: 32, headSize: 64, normEpsilon: 1e-6 });
  });

  test("model_type alone", () => {
    const { architectures: _, ...rest } = qwen3;
    expect(parseConfig(rest).architecture).toBe("qwen3");
  });

  test("Llama with biases has them everywhere", () => {
    expect(parseConfig({ ...llama32, attention_bias: true, mlp_bias: true })).toMatchObject({
      queryKeyValueBias: true,
      attentionOutputBias: true,
      mlpBias: true,
    });
  });

  test("a shorter context on request", () => {
    expect(parseConfig(qwen3, { contextLength: 512 }).contextLength).toBe(512);
    expect(() => parseConfig(qwen3, { contextLength: 50_000 })).toThrow(/contextLength 50000 .* is 40960/);
    expect(() => parseConfig(qwen3, { contextLength: 0.5 })).toThrow(/from 1 to 40960/);
  });

  test("a window counts only where it bites", () => {
    const sliding = { ...qwen25, use_sliding_window: true, sliding_window: 4096 };
    expect(() => parseConfig(sliding)).toThrow(/sliding_window is 4096/);
    expect(parseConfig(sliding, { contextLength: 4096 }).contextLength).toBe(4096);
    expect(parseConfig({ ...sliding, max_window_layers: 24 }).layers).toBe(24);
    expect(parseConfig({ ...sliding, layer_types: Array(24).fill("full_attention") }).layers).toBe(24);
    expect(() =>
      parseConfig({ ...sliding, layer_types: [...Array(23).fill("full_attention"), "sliding_attention"] }),
    ).toThrow(/sliding_window is 4096/);
  });
});

describe("refused by name, before any work", () => {
  test.each([
    ["architectures", ["MistralForCausalLM"]],
    ["architectures", ["LlamaForSequenceClassification"]],
    ["architectures", ["Qwen3MoeForCausalLM"]],
    ["architectures", ["LlamaForCausalLM", "Other"]],
    ["model_type", "mistral"],
    ["hidden_act", "gelu"],
    ["quantization_config", { quant_method: "gptq", bits: 4 }],
    ["num_experts", 8],
    ["num_local_experts", 8],
    ["layer_types", Array(16).fill("linear_attention")],
    ["head_dim", 63],
  ])("%s = %j", (field, value) => {
    expect(() => parseConfig({ ...llama32, [field]: value }, { file: "m/config.json" })).toThrow(
      expect.objectContaining({
        code: "E_CONFIG_UNSUPPORTED",
        message: expect.stringContaining(`m/config.json: ${field} is `),
      }),
    );
  });

  test.each([
    ["hidden_size", undefined, /hidden_size is missing/],
    ["hidden_size", "2048", /hidden_size is "2048"; expected a whole number/],
    ["num_hidden_layers", 0, /num_hidden_layers is 0/],
    ["num_hidden_layers", 1.5, /num_hidden_layers is 1\.5/],
    ["num_key_value_heads", 5, /num_key_value_heads is 5; expected a divisor of num_attention_heads \(32\)/],
    ["tie_word_embeddings", "yes", /tie_word_embeddings is "yes"; expected true or false/],
    ["rms_norm_eps", -1, /rms_norm_eps is -1; expected a positive number/],
    ["layer_types", ["full_attention"], /layer_types is 1; expected one entry for each of 16 layers/],
  ])("%s = %j", (field, value, message) => {
    expect(() => parseConfig({ ...llama32, [field]: value })).toThrow(message);
  });

  test("heads that do not divide the hidden size", () => {
    const { head_dim: _, ...rest } = llama32;
    expect(() => parseConfig({ ...rest, num_attention_heads: 24 })).toThrow(
      /a divisor of hidden_size \(2048\)/,
    );
  });

  test.each([null, [], "x", 3])("a config that is %j", (json) => {
    expect(() => parseConfig(json)).toThrow(/config\.json is not a JSON object/);
  });

  test("neither architectures nor model_type", () => {
    const { architectures: _, model_type: __, ...rest } = llama32;
    expect(() => parseConfig(rest)).toThrow(/architectures is null/);
  });
});
