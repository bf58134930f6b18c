/**
 * @file Trains a byte-level BPE tokenizer and writes it as a Hugging Face folder has it.
 * Deterministic, and with the merges that Hugging Face `tokenizers` learns. Source: Sennrich et al., 2016; Radford et al., 2019.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { byteCharacters } from "./byte-level.ts";
import { BpeTrainingError } from "./errors.ts";
import { speedUpSplits } from "./fast-split.ts";
import { learnMerges } from "./learn-merges.ts";

/** How text is cut before merging; merges never cross a cut. */
export const splitPatterns = {
  /** GPT-2's: contractions, words and runs of digits with one leading space, punctuation, white space. */
  words: "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  /** The same, but every digit is a token of its own without a leading space. */
  "single-digits": "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
} as const;

export interface BpeTrainingOptions {
  /** Special tokens, 256 bytes and merges together. */
  readonly vocabularySize: number;
  /** Ids 0, 1, …; default {@link chatSpecialTokens}. Their text in the corpus is cut out. */
  readonly specialTokens?: readonly string[];
  /** Ends an output. Default: the last special token, "<|im_end|>". */
  readonly endToken?: string;
  /** Fills batches. Default: the first special token, "<|endoftext|>". */
  readonly padToken?: string;
  /** Default "single-digits". `{ pattern }` is a regular expression in the syntax of `tokenizers`. */
  readonly split?: keyof typeof splitPatterns | { readonly pattern: string };
  /** Pairs rarer than this are not merged. Default 2. */
  readonly minimumFrequency?: number;
  /** Jinja source; default {@link chatMarkupTemplate}. */
  readonly chatTemplate?: string;
  /** Goes into `tokenizer_config.json`. */
  readonly contextLength?: number;
}

/** What {@link writeTokenizer} writes. */
export interface TrainedTokenizer {
  readonly vocabularySize: number;
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
}

export const chatSpecialTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;

/** ChatML: `<|im_start|>role\ncontent<|im_end|>\n`. */
export const chatMarkupTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/**
 * Learns merges from `texts`.
 *
 * @throws BpeTrainingError when the text has too few different pairs for the vocabulary, or an option is out of range.
 * @example
 * await writeTokenizer("assets/model", trainBpe(texts, { vocabularySize: 1024 }));
 */
export function trainBpe(texts: Iterable<string>, options: BpeTrainingOptions): TrainedTokenizer {
  const { vocabularySize, specialTokens = chatSpecialTokens, minimumFrequency = 2 } = options;
  checkOptions(options, specialTokens);
  const split = splitPatternOf(options.split ?? "single-digits");
  const vocabulary = [...specialTokens, ...byteCharacters.toSorted()];
  const merges = learnMerges(
    countWords(texts, split, specialTokens),
    vocabulary,
    vocabularySize,
    minimumFrequency,
  );
  return {
    vocabularySize,
    tokenizer: tokenizerJson(split, specialTokens, vocabulary, merges),
    tokenizerConfig: tokenizerConfigJson(options, specialTokens),
  };
}

/** Writes `tokenizer.json` and `tokenizer_config.json` (with the chat template) into `folder`. */
export async function writeTokenizer(folder: string, trained: TrainedTokenizer): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tokenizer.json"), `${JSON.stringify(trained.tokenizer, null, 1)}\n`);
  await writeFile(
    join(folder, "tokenizer_config.json"),
    `${JSON.stringify(trained.tokenizerConfig, null, 2)}\n`,
  );
}

function checkOptions(
  { vocabularySize, endToken, padToken }: BpeTrainingOptions,
  specialTokens: readonly string[],
): void {
  const smallest = specialTokens.length + 256;
  // 2^26 ids squared still fit the integers of a double, which key the pairs.
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < smallest || vocabularySize > 2 ** 26) {
    throw new BpeTrainingError({
      code: "E_BPE_OPTIONS",
      message: `vocabularySize is ${vocabularySize}; ${specialTokens.length} special tokens and 256 bytes need at least ${smallest}.`,
      hint: "ask for a larger vocabulary.",
    });
  }
  if (new Set(specialTokens).size < specialTokens.length || specialTokens.includes("")) {
    throw new BpeTrainingError({
      code: "E_BPE_OPTIONS",
      message: `specialTokens holds an empty or repeated token: ${JSON.stringify(specialTokens)}.`,
      hint: "name each special token once.",
    });
  }
  for (const [option, token] of Object.entries({ endToken, padToken })) {
    if (token !== undefined && !specialTokens.includes(token)) {
      throw new BpeTrainingError({
        code: "E_BPE_OPTIONS",
        message: `${option} is ${JSON.stringify(token)}, which is not among specialTokens ${JSON.stringify(specialTokens)}.`,
        hint: "add it to specialTokens.",
      });
    }
  }
}

function splitPatternOf(split: NonNullable<BpeTrainingOptions["split"]>): string {
  return typeof split === "string" ? splitPatterns[split] : split.pattern;
}

function preTokenizerJson(pattern: string): Record<string, unknown> {
  return {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  };
}

/** Pieces between cuts, as strings of byte characters, with how often each occurs. */
function countWords(
  texts: Iterable<string>,
  pattern: string,
  specialTokens: readonly string[],
): Map<string, number> {
  // The pre-tokenizer that will encode later, so that training and use cut alike.
  const cut = new Tokenizer(
    {
      normalizer: null,
      pre_tokenizer: preTokenizerJson(pattern),
      model: { type: "BPE", vocab: {}, merges: [] },
      post_processor: null,
      decoder: null,
      added_tokens: [],
    },
    {},
  ).pre_tokenizer!;
  speedUpSplits(cut);
  const special = specialTokens.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const specialPattern = special.length === 0 ? undefined : new RegExp(special.join("|"), "u");
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const part of specialPattern ? text.split(specialPattern) : [text]) {
      for (const word of cut.pre_tokenize(part)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

function addedTokens(specialTokens: readonly string[]): Record<string, unknown>[] {
  return specialTokens.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
}

function tokenizerJson(
  pattern: string,
  specialTokens: readonly string[],
  vocabulary: readonly string[],
  merges: readonly (readonly [string, string])[],
): Record<string, unknown> {
  // Without a prototype, so that no token's name can be a property of it.
  const vocab: Record<string, number> = Object.create(null);
  vocabulary.forEach((token, id) => {
    vocab[token] = id;
  });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(specialTokens),
    normalizer: null,
    pre_tokenizer: preTokenizerJson(pattern),
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      // Byte characters hold no space, so that the older, wider known spelling is unambiguous.
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
  };
}

function tokenizerConfigJson(
  { endToken, padToken, chatTemplate = chatMarkupTemplate, contextLength }: BpeTrainingOptions,
  specialTokens: readonly string[],
): Record<string, unknown> {
  const added = addedTokens(specialTokens).map(({ id, ...token }) => [String(id), token]);
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    added_tokens_decoder: Object.fromEntries(added),
    bos_token: null,
    eos_token: endToken ?? specialTokens.at(-1) ?? null,
    pad_token: padToken ?? specialTokens[0] ?? null,
    unk_token: null,
    clean_up_tokenization_spaces: false,
    ...(contextLength === undefined ? {} : { model_max_length: contextLength }),
    chat_template: chatTemplate,
  };
}
