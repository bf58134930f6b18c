/** @file Which tokens of a folder are added, which are special, what they are called, and which of them end an output. */

import type { AddedToken } from "./added-tokens.ts";
import { badFormat, isObject, type JsonObject, type TokenizerFiles } from "./tokenizer-files.ts";

/**
 * Added tokens of `tokenizer.json`. `added_tokens_decoder` of `tokenizer_config.json` completes and overrides them, and
 * a token that the config names (eos_token …) is special whatever its flag says, both as `transformers` has it.
 */
export function addedTokensOf(files: TokenizerFiles): readonly AddedToken[] {
  const file = `${files.folder}/tokenizer.json`;
  const named = new Set(Object.values(namedTokens(files.tokenizerConfig)));
  const tokens = new Map<number, AddedToken>();
  const put = (id: unknown, json: unknown, from: string) => {
    if (!Number.isSafeInteger(id) || !isObject(json) || typeof json.content !== "string") {
      throw badFormat(from, `has an added token without id and content: ${JSON.stringify(json)}`);
    }
    const special = json.special === true || named.has(json.content);
    tokens.set(id as number, {
      id: id as number,
      content: json.content,
      special,
      singleWord: json.single_word === true,
      stripLeft: json.lstrip === true,
      stripRight: json.rstrip === true,
      normalized: typeof json.normalized === "boolean" ? json.normalized : !special,
    });
  };
  const listed = files.tokenizer.added_tokens ?? [];
  if (!Array.isArray(listed)) throw badFormat(file, 'has "added_tokens" that is no list');
  for (const token of listed) put(isObject(token) ? token.id : undefined, token, file);
  const decoder = files.tokenizerConfig.added_tokens_decoder;
  if (isObject(decoder)) {
    for (const [id, token] of Object.entries(decoder)) {
      put(Number(id), token, `${files.folder}/tokenizer_config.json`);
    }
  }
  return [...tokens.values()].toSorted((a, b) => a.id - b.id);
}

/** The config's `bos_token`, `eos_token` …: what templates see. A name without a token is left out. */
export function namedTokens(config: JsonObject): Readonly<Record<string, string>> {
  const names: Record<string, string> = {};
  for (const name of ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]) {
    const value = config[`${name}_token`];
    const content = isObject(value) ? value.content : value;
    if (typeof content === "string") names[`${name}_token`] = content;
  }
  const extra = config.extra_special_tokens;
  if (isObject(extra)) {
    for (const [name, value] of Object.entries(extra)) {
      const content = isObject(value) ? value.content : value;
      if (typeof content === "string") names[name] = content;
    }
  }
  return names;
}

/** `eos_token_id` of generation_config.json, else of config.json, else the id of the tokenizer's `eos_token`. */
export function endTokensOf(
  files: TokenizerFiles,
  idOf: (token: string) => number | undefined,
): readonly number[] {
  const sources = [
    [files.generationConfig, "generation_config.json"],
    [files.modelConfig, "config.json"],
  ] as const;
  for (const [config, name] of sources) {
    const value = config?.eos_token_id;
    if (value === undefined || value === null) continue;
    const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!ids.every((id): id is number => Number.isSafeInteger(id) && (id as number) >= 0)) {
      throw badFormat(
        `${files.folder}/${name}`,
        `has the eos_token_id ${JSON.stringify(value)}, which is no id`,
      );
    }
    return ids;
  }
  const content = namedTokens(files.tokenizerConfig).eos_token;
  const id = content === undefined ? undefined : idOf(content);
  return id === undefined ? [] : [id];
}
