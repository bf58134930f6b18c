/**
 * @file Brings a `tokenizer.json` into a form that the JavaScript library runs as the Rust one does, and refuses what
 * it would run differently. Each rewriting names the difference; figures are in docs/tokenizer.md.
 */

import { TokenizerError } from "./errors.ts";
import { badFormat, isObject, type JsonObject } from "./tokenizer-files.ts";
import { splitPatterns } from "./train-bpe.ts";

/** Refuses models, normalisers and pre-tokenisers that would give other ids than the reference. */
export function portableTokenizerJson(json: JsonObject, file: string): JsonObject {
  const { model } = json;
  if (!isObject(model)) throw badFormat(file, 'has no "model"');
  if (model.type !== undefined && model.type !== "BPE") throw unsupported(file, "model", model.type);
  if (!isObject(model.vocab) || !Array.isArray(model.merges)) {
    throw badFormat(file, 'has a "model" without "vocab" and "merges"');
  }
  for (const [token, id] of Object.entries(model.vocab)) {
    if (!Number.isSafeInteger(id) || (id as number) < 0) {
      throw badFormat(file, `gives the token ${JSON.stringify(token)} the id ${id}`);
    }
  }
  return {
    ...json,
    // Some writers leave a part that is null out; the library wants it named.
    normalizer: checkedNormalizer(json.normalizer ?? null, file),
    pre_tokenizer: portablePreTokenizer(json.pre_tokenizer ?? null, file),
    post_processor: json.post_processor ?? null,
    decoder: null,
    // Split by `AddedTokens`, not by the library.
    added_tokens: [],
  };
}

export function unsupported(file: string, part: string, type: unknown): TokenizerError {
  return new TokenizerError({
    code: "E_TOKENIZER_UNSUPPORTED",
    message: `${file} uses the ${part} ${JSON.stringify(type)}, which is not supported.`,
    hint: "use a model with a BPE tokenizer (byte-level or with byte fallback), as Llama and Qwen models have.",
    facts: { file, part, type },
  });
}

// Not Lowercase: JavaScript writes a final sigma where Rust, letter by letter, writes none.
const normalizers = ["NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace"];

function checkedNormalizer(json: unknown, file: string): unknown {
  if (json === null) return null;
  if (!isObject(json)) throw badFormat(file, 'has a "normalizer" that is no object');
  if (json.type === "Sequence") {
    for (const part of listOf(json.normalizers, file)) checkedNormalizer(part, file);
  } else if (!normalizers.includes(String(json.type))) {
    throw unsupported(file, "normalizer", json.type);
  }
  return json;
}

const isolated = (pattern: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
const sequence = (...pretokenizers: unknown[]): JsonObject => ({ type: "Sequence", pretokenizers });

function portablePreTokenizer(json: unknown, file: string): unknown {
  if (json === null) return null;
  if (!isObject(json)) throw badFormat(file, 'has a "pre_tokenizer" that is no object');
  switch (json.type) {
    case "Sequence":
      return sequence(...listOf(json.pretokenizers, file).map((part) => portablePreTokenizer(part, file)));
    case "ByteLevel":
      // Its built-in pattern takes JavaScript's white space (with U+FEFF, without U+0085); a Split's is Unicode's.
      if (json.use_regex === false) return json;
      if (json.add_prefix_space === true) throw unsupported(file, "pre-tokenizer option", "add_prefix_space");
      return sequence(isolated(splitPatterns.words), { ...json, use_regex: false });
    case "Digits":
      // Takes ASCII digits alone; Rust takes all that Unicode calls numeric.
      return isolated(json.individual_digits === true ? "\\p{N}" : "\\p{N}+");
    case "Metaspace": {
      const replacement = typeof json.replacement === "string" ? json.replacement : "\u2581";
      // The older flag and the splitting at each replacement are ignored by the library.
      const prepend = json.prepend_scheme ?? (json.add_prefix_space === false ? "never" : "always");
      const metaspace = { ...json, replacement, str_rep: replacement, prepend_scheme: prepend };
      return json.split === false
        ? metaspace
        : sequence(metaspace, isolated(`${replacement}[^${replacement}]*`));
    }
    case "Split": {
      const behavior = String(json.behavior).toLowerCase();
      // Isolated pieces are the same whichever of them count as matches.
      if (behavior === "isolated") return { ...json, invert: false };
      if (behavior === "removed") return json;
      throw unsupported(file, "pre-tokenizer option Split.behavior", json.behavior);
    }
    default:
      throw unsupported(file, "pre-tokenizer", json.type);
  }
}

function listOf(value: unknown, file: string): readonly unknown[] {
  if (!Array.isArray(value)) throw badFormat(file, "has a sequence without its list");
  return value;
}
