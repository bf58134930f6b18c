/** @file The tokenizer of a starter: learned from its traces, in a folder that the model's folder is made from. */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelTokenizer, trainBpe, writeTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import type { TraceText } from "./weighted-batches.ts";

export interface StarterTokenizer {
  /** Tokenizer and generation config. */
  readonly folder: string;
  readonly tokenizer: ModelTokenizer;
}

/** @param options of the byte-pair encoding, and how many traces it learns from. */
export async function makeTokenizer(
  traces: Iterator<TraceText, never>,
  { count, ...options }: Parameters<typeof trainBpe>[1] & { readonly count: number },
): Promise<StarterTokenizer> {
  const folder = await mkdtemp(join(tmpdir(), "starter-tokenizer-"));
  const texts = Array.from({ length: count }, () => {
    const { prompt, completion } = traces.next().value;
    return prompt + completion;
  });
  await writeTokenizer(folder, trainBpe(texts, options));
  const tokenizer = await ModelTokenizer.load(folder);
  const generation = { eos_token_id: tokenizer.endTokens, do_sample: true };
  await writeFile(join(folder, "generation_config.json"), `${JSON.stringify(generation, null, 2)}\n`);
  return { folder, tokenizer };
}
