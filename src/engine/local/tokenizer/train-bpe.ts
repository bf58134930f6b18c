/**
 * @file Trains a byte-level BPE tokenizer and writes it as a Hugging Face folder has it.
 * Deterministic: the most frequent pair is merged, ties go to the pair with the smaller ids, as in the Rust trainer of
 * Hugging Face `tokenizers`, so both learn the same merges. Source: Sennrich et al., 2016; Radford et al., 2019.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { byteCharacters } from "./byte-level.ts";
import { BpeTrainingError } from "./errors.ts";
import { PairQueue } from "./pair-queue.ts";

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

/** Extends `vocabulary` up to `size`; returns the merges in order. */
function learnMerges(
  wordCounts: ReadonlyMap<string, number>,
  vocabulary: string[],
  size: number,
  minimumFrequency: number,
): (readonly [string, string])[] {
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const words: Int32Array[] = [];
  const counts: number[] = [];
  for (const [word, count] of wordCounts) {
    words.push(Int32Array.from(word, (character) => ids.get(character)!));
    counts.push(count);
  }

  // A pair (a, b) is the number a · size + b: ordered like the pair itself.
  const pairCounts = new Map<number, number>();
  const pairWords = new Map<number, Set<number>>();
  const see = (pair: number, word: number) => {
    const where = pairWords.get(pair);
    if (where) where.add(word);
    else pairWords.set(pair, new Set([word]));
  };
  words.forEach((word, index) => {
    for (let i = 0; i + 1 < word.length; i++) {
      const pair = word[i]! * size + word[i + 1]!;
      pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + counts[index]!);
      see(pair, index);
    }
  });
  const queue = new PairQueue();
  for (const [pair, count] of pairCounts) queue.push(pair, count);

  const merges: (readonly [string, string])[] = [];
  const changes = new Map<number, number>();
  while (vocabulary.length < size) {
    const pair = queue.popMostFrequent(pairCounts);
    const frequency = pair === undefined ? 0 : pairCounts.get(pair)!;
    if (pair === undefined || frequency < Math.max(1, minimumFrequency)) {
      throw new BpeTrainingError({
        code: "E_BPE_TOO_LITTLE_TEXT",
        message: `The text gives ${vocabulary.length} tokens of the ${size} asked for; no pair occurs ${minimumFrequency} times any more.`,
        hint: `give more text, or ask for at most ${vocabulary.length} tokens.`,
        facts: { reached: vocabulary.length, asked: size, differentWords: words.length },
      });
    }
    const left = Math.floor(pair / size);
    const right = pair % size;
    const merged = vocabulary[left]! + vocabulary[right]!;
    // Two ways to spell one token share its id.
    let id = ids.get(merged);
    if (id === undefined) {
      id = vocabulary.push(merged) - 1;
      ids.set(merged, id);
    }
    merges.push([vocabulary[left]!, vocabulary[right]!]);

    changes.clear();
    for (const index of pairWords.get(pair)!) {
      const change = (a: number, b: number, by: number) => {
        const changed = a * size + b;
        changes.set(changed, (changes.get(changed) ?? 0) + by * counts[index]!);
        if (by > 0) see(changed, index);
      };
      words[index] = mergeInWord(words[index]!, left, right, id, change);
    }
    pairCounts.delete(pair);
    pairWords.delete(pair);
    for (const [changed, by] of changes) {
      if (changed === pair || by === 0) continue;
      const count = (pairCounts.get(changed) ?? 0) + by;
      pairCounts.set(changed, count);
      // Smaller counts are corrected when they surface; larger ones must be seen now.
      if (by > 0) queue.push(changed, count);
    }
  }
  return merges;
}

/** Replaces each (left, right), from the left, by `id`, telling which pairs disappear and appear. In place. */
function mergeInWord(
  word: Int32Array,
  left: number,
  right: number,
  id: number,
  change: (a: number, b: number, by: number) => void,
): Int32Array {
  let length = 0;
  for (let i = 0; i < word.length; i++) {
    if (word[i] !== left || word[i + 1] !== right) {
      word[length++] = word[i]!;
      continue;
    }
    if (length > 0) {
      change(word[length - 1]!, left, -1);
      change(word[length - 1]!, id, 1);
    }
    if (i + 2 < word.length) {
      change(right, word[i + 2]!, -1);
      change(id, word[i + 2]!, 1);
    }
    word[length++] = id;
    i++;
  }
  return word.subarray(0, length);
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
