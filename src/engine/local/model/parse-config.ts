/**
 * @file Hugging Face `config.json` → {@link DecoderConfig}. What the engine does not compute is refused here, by
 * name, before any work. Field names, defaults and meanings are those of transformers' `LlamaConfig`, `Qwen2Config`
 * and `Qwen3Config`.
 */

import type { Architecture, DecoderConfig } from "./config.ts";
import { ConfigError, ConfigReader } from "./config-reader.ts";
import { readRope } from "./rope.ts";

export { ConfigError } from "./config-reader.ts";

export interface ParseConfigOptions {
  /** Named in errors. Default "config.json". */
  readonly file?: string;
  /** Use at most this many positions. Default: all that the model has. */
  readonly contextLength?: number;
}

interface Family {
  readonly architecture: Architecture;
  /** What `hidden_size / num_attention_heads` is when the file does not say `head_dim`. */
  readonly headSize?: number;
}

const families: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: { architecture: "llama" },
  Qwen2ForCausalLM: { architecture: "qwen2" },
  Qwen3ForCausalLM: { architecture: "qwen3", headSize: 128 },
};

/** The Hugging Face class of an architecture, for a written `config.json`. */
export const architectureClass: Readonly<Record<Architecture, string>> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};

export function parseConfig(json: unknown, options: ParseConfigOptions = {}): DecoderConfig {
  const config = new ConfigReader(json, options.file ?? "config.json");
  const { architecture, headSize: familyHeadSize } = readFamily(config);
  refuseUnsupported(config);

  const layers = config.requireCount("num_hidden_layers");
  const hiddenSize = config.requireCount("hidden_size");
  const heads = config.requireCount("num_attention_heads");
  // Old Llama files have no grouped heads and do not name them; the Qwen classes have another default.
  const keyValueHeads =
    architecture === "llama"
      ? (config.count("num_key_value_heads") ?? heads)
      : config.requireCount("num_key_value_heads");
  const headSize = config.count("head_dim") ?? familyHeadSize ?? hiddenSize / heads;
  if (!Number.isInteger(headSize)) {
    throw config.invalid("num_attention_heads", heads, `a divisor of hidden_size (${hiddenSize})`);
  }
  if (headSize % 2 !== 0) throw config.unsupported("head_dim", headSize, "an even head size");
  if (heads % keyValueHeads !== 0) {
    throw config.invalid("num_key_value_heads", keyValueHeads, `a divisor of num_attention_heads (${heads})`);
  }

  const trainedContext = config.requireCount("max_position_embeddings");
  const contextLength = usedContext(config, trainedContext, options.contextLength);
  refuseSlidingWindow(config, layers, contextLength);

  // Qwen2 has biases on q, k and v whatever its config says; Llama and Qwen3 say it, for all four projections.
  const attentionBias = architecture !== "qwen2" && (config.flag("attention_bias") ?? false);
  return {
    architecture,
    layers,
    hiddenSize,
    intermediateSize: config.requireCount("intermediate_size"),
    heads,
    keyValueHeads,
    headSize,
    vocabularySize: config.requireCount("vocab_size"),
    contextLength,
    normEpsilon: config.positive("rms_norm_eps") ?? 1e-6,
    rope: readRope(config, { headSize, trainedContext, contextLength }),
    tiedHead: config.flag("tie_word_embeddings") ?? false,
    queryKeyValueBias: architecture === "qwen2" || attentionBias,
    attentionOutputBias: attentionBias,
    mlpBias: architecture === "llama" && (config.flag("mlp_bias") ?? false),
    queryKeyNorm: architecture === "qwen3",
  };
}

function readFamily(config: ConfigReader): Family {
  const supported = `one of the architectures ${Object.keys(families).join(", ")}`;
  const names = config.texts("architectures") ?? [];
  if (names.length > 0) {
    const known = names.length === 1 ? families[names[0]!] : undefined;
    if (!known) throw config.unsupported("architectures", names, supported);
    const type = config.text("model_type");
    if (type !== undefined && type !== known.architecture)
      throw config.unsupported("model_type", type, supported);
    return known;
  }
  const type = config.text("model_type");
  const known = Object.values(families).find(({ architecture }) => architecture === type);
  if (!known)
    throw config.unsupported(type === undefined ? "architectures" : "model_type", type ?? null, supported);
  return known;
}

function refuseUnsupported(config: ConfigReader): void {
  const activation = config.text("hidden_act") ?? "silu";
  // "swish" is another name of the same function.
  if (activation !== "silu" && activation !== "swish") {
    throw config.unsupported("hidden_act", activation, 'hidden_act "silu"');
  }
  for (const name of ["quantization_config", "compression_config"]) {
    if (config.has(name))
      throw config.unsupported(name, config.raw(name), "unquantised weights (F32, F16 or BF16)");
  }
  for (const name of ["num_experts", "num_local_experts", "n_routed_experts"]) {
    if (config.has(name) && config.raw(name) !== 0) {
      throw config.unsupported(name, config.raw(name), "dense layers, not a mixture of experts");
    }
  }
}

/** A window counts only where a layer uses it and it is shorter than the context. */
function refuseSlidingWindow(config: ConfigReader, layers: number, contextLength: number): void {
  const kinds = config.texts("layer_types");
  const other = kinds?.find((kind) => kind !== "full_attention" && kind !== "sliding_attention");
  if (other !== undefined) throw config.unsupported("layer_types", other, "full attention in every layer");
  if (kinds && kinds.length !== layers) {
    throw config.invalid("layer_types", kinds.length, `one entry for each of ${layers} layers`);
  }
  const window = config.count("sliding_window");
  if (window === undefined || !(config.flag("use_sliding_window") ?? false) || window >= contextLength)
    return;
  const used = kinds?.includes("sliding_attention") ?? (config.number("max_window_layers") ?? 28) < layers;
  if (used) {
    throw config.unsupported(
      "sliding_window",
      window,
      "full attention, or open it with a contextLength within the window",
    );
  }
}

function usedContext(config: ConfigReader, trained: number, wanted: number | undefined): number {
  if (wanted === undefined) return trained;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > trained) {
    throw new ConfigError({
      code: "E_CONFIG_CONTEXT",
      message: `contextLength ${wanted} was asked for; ${config.place("max_position_embeddings")} is ${trained}.`,
      hint: `choose a contextLength from 1 to ${trained}.`,
      facts: { file: config.file, contextLength: wanted, trained },
    });
  }
  return wanted;
}
