/** @file What the engine needs to know of a decoder: the normalised form of a Hugging Face `config.json`. */

export type Architecture = "llama" | "qwen2" | "qwen3";

/** Rotary embedding, reduced to numbers: a scaling variant is only another list of frequencies and a factor. */
export interface RopeSettings {
  /** [headSize / 2] radians per position. */
  readonly inverseFrequencies: Float64Array;
  /** Multiplies cos and sin (YaRN's attention factor; 1 otherwise). */
  readonly attentionFactor: number;
}

export interface DecoderConfig {
  readonly architecture: Architecture;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly vocabularySize: number;
  /** `max_position_embeddings`. */
  readonly contextLength: number;
  readonly normEpsilon: number;
  readonly rope: RopeSettings;
  readonly tiedHead: boolean;
  /** Biases of q/k/v projections (Qwen2; Llama with `attention_bias`). */
  readonly queryKeyValueBias: boolean;
  /** Bias of the attention's output projection (Llama with `attention_bias`). */
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
  /** RMSNorm over each head of q and k before the rotary embedding (Qwen3). */
  readonly queryKeyNorm: boolean;
}
