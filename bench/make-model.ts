/** @file Random models of given sizes as Hugging Face folders, so that every side of a benchmark computes the same function. */

import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveModelFolder } from "../src/engine/local/checkpoint/index.ts";
import { initialiseModel } from "../src/engine/local/model/initialise.ts";
import { decoderShapes, parameterTable } from "../src/engine/local/model/parameters.ts";
import { parseConfig } from "../src/engine/local/model/parse-config.ts";
import { FlatTensors } from "../src/engine/local/model/weights.ts";
import { openBackend } from "../src/engine/local/ort/open.ts";
import { trainBpe, writeTokenizer } from "../src/engine/local/tokenizer/index.ts";

export interface Size {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly context?: number;
}

/**
 * Writes a folder with a tokenizer of single bytes (so that one character is one token) and no end token for our
 * side: both sides sample the full length.
 */
export async function makeModel(
  size: Size,
): Promise<{ readonly folder: string; readonly parameters: number }> {
  const root = await mkdtemp(join(tmpdir(), "troupe-bench-"));
  const tokenizer = join(root, "tokenizer");
  const folder = join(root, "model");
  await mkdir(tokenizer);
  await writeTokenizer(tokenizer, trainBpe(["a b, a b"], { vocabularySize: 259 }));
  await writeFile(join(tokenizer, "generation_config.json"), JSON.stringify({ eos_token_id: [] }));
  const sourceConfig = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: size.vocabulary,
    hidden_size: size.hidden,
    intermediate_size: size.intermediate,
    num_hidden_layers: size.layers,
    num_attention_heads: size.heads,
    num_key_value_heads: size.keyValueHeads,
    max_position_embeddings: size.context ?? 1024,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
    attention_bias: false,
    mlp_bias: false,
  };
  const config = parseConfig(sourceConfig);
  const table = parameterTable(decoderShapes(config));
  const weights = new FlatTensors(await openBackend(), table);
  initialiseModel(weights, 1);
  await saveModelFolder(folder, { config, sourceConfig, table, flat: weights.flat }, { copyFrom: tokenizer });
  return { folder, parameters: table.count };
}
