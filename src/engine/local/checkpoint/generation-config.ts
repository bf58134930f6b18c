/** @file `generation_config.json`: the end tokens and the sampling defaults that a model was published with. */

import { join } from "node:path";
import { ConfigReader } from "../model/config-reader.ts";
import { readOptionalJsonFile } from "./json-file.ts";

export interface GenerationConfig {
  /** Any of them ends an output. From the file, else from `config.json`; empty if neither says. */
  readonly endTokens: readonly number[];
  readonly beginToken: number | undefined;
  readonly paddingToken: number | undefined;
  /** What the publisher recommends; shown, never applied silently: training samples at temperature 1. */
  readonly recommended: Readonly<Record<string, number>>;
}

const samplingFields = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty"] as const;

export async function readGenerationConfig(folder: string, modelConfig: unknown): Promise<GenerationConfig> {
  const file = join(folder, "generation_config.json");
  const generation = new ConfigReader((await readOptionalJsonFile(file)) ?? {}, file);
  const model = new ConfigReader(modelConfig, join(folder, "config.json"));
  const recommended: Record<string, number> = {};
  for (const name of samplingFields) {
    const value = generation.number(name);
    if (value !== undefined) recommended[name] = value;
  }
  return {
    endTokens: tokenList(generation, "eos_token_id") ?? tokenList(model, "eos_token_id") ?? [],
    beginToken: tokenList(generation, "bos_token_id")?.[0] ?? tokenList(model, "bos_token_id")?.[0],
    paddingToken: tokenList(generation, "pad_token_id")?.[0] ?? tokenList(model, "pad_token_id")?.[0],
    recommended,
  };
}

/** One id or a list of them. */
function tokenList(config: ConfigReader, name: string): readonly number[] | undefined {
  const value = config.raw(name);
  if (value === undefined) return undefined;
  const ids = Array.isArray(value) ? value : [value];
  if (!ids.every((id) => Number.isInteger(id) && id >= 0)) {
    throw config.invalid(name, value, "a token id or a list of them");
  }
  return ids;
}
