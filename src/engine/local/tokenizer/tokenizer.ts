/**
 * @file Text ↔ token ids of one model folder. Normaliser, pre-tokeniser and BPE are those of `@huggingface/tokenizers`;
 * added tokens, decoding and chat prompts are done here, so that ids and text equal the Rust and Python reference.
 */

import { Tokenizer } from "@huggingface/tokenizers";
import { openAiMessages, openAiTools } from "../../openai-messages.ts";
import type { ChatMessage, ChatTool, ParsedToolCalls, PolicyTokenizer } from "../../policy.ts";
import { type AddedToken, AddedTokenMatcher } from "./added-tokens.ts";
import { type ChatTemplateInput, ChatTemplates, type TemplateMessage } from "./chat-template.ts";
import { textAfterOutput } from "./continue-chat.ts";
import { TokenizerError } from "./errors.ts";
import { speedUpSplits } from "./fast-split.ts";
import { type BrokenTokens, breakTokens } from "./guarded-content.ts";
import { addedTokensOf, endTokensOf, namedTokens } from "./special-tokens.ts";
import { type TokenBytes, TokenDecoder } from "./token-decoder.ts";
import { badFormat, readTokenizerFiles, type TokenizerFiles } from "./tokenizer-files.ts";
import { portableTokenizerJson } from "./tokenizer-json.ts";
import { parseToolCalls, toolCallFormat } from "./tool-calls.ts";

/**
 * What text such as "<|im_end|>" inside a prompt becomes.
 * "recognise": the special token, as in the reference. "spell": ordinary tokens that spell it, so that text from
 * outside cannot end a turn or open another.
 */
export type SpecialTokenText = "recognise" | "spell";

export interface TokenizerOptions {
  /** The default of `encode` (for its whole text) and `encodeChat` (for the messages, not the template). Default "recognise". */
  readonly specialTokenText?: SpecialTokenText;
  /** The clock behind a template's `strftime_now`. Default: the system's. */
  readonly now?: () => Date;
}

export interface EncodeOptions {
  /** Adds what the model expects around text, such as a begin token. Default true, as in the reference. */
  readonly addSpecial?: boolean;
  readonly specialTokenText?: SpecialTokenText;
}

export interface EncodeChatOptions extends Omit<ChatTemplateInput, "messages"> {
  /** Which of the folder's templates. Default: "tool_use" if it exists and tools are given, else "default". */
  readonly template?: string;
  readonly specialTokenText?: SpecialTokenText;
}

/**
 * @example
 * const tokenizer = await ModelTokenizer.load("assets/atlas-small");
 * const ids = tokenizer.encodeChat([{ role: "user", content: "Hi" }], { addGenerationPrompt: true });
 */
export class ModelTokenizer implements PolicyTokenizer {
  /** One more than the largest id. A model's embedding may have more rows. */
  readonly vocabularySize: number;
  readonly endTokens: readonly number[];
  /** `bos_token`, `eos_token` … → their text. */
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly #options: TokenizerOptions;
  readonly #library: Tokenizer;
  readonly #decoder: TokenDecoder;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #special: readonly AddedToken[];
  /** Tokens found in text as it is, and in normalised text; all of them, and without the special ones. */
  readonly #matchers: Readonly<Record<SpecialTokenText, readonly [AddedTokenMatcher, AddedTokenMatcher]>>;
  readonly #prefix: readonly number[];
  readonly #suffix: readonly number[];
  readonly #templates: ChatTemplates;

  /**
   * Reads `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and the chat templates of a folder.
   *
   * @throws TokenizerError when there is no tokenizer, or one that would not give the reference's ids.
   */
  static async load(folder: string, options: TokenizerOptions = {}): Promise<ModelTokenizer> {
    return new ModelTokenizer(await readTokenizerFiles(folder), options);
  }

  constructor(files: TokenizerFiles, options: TokenizerOptions = {}) {
    const file = `${files.folder}/tokenizer.json`;
    const added = addedTokensOf(files);
    this.#options = options;
    this.#library = libraryTokenizer(portableTokenizerJson(files.tokenizer, file), file);
    const { ids, vocabulary } = vocabularyOf(this.#library, added, file);
    this.#ids = ids;
    this.vocabularySize = vocabulary.length;
    this.#decoder = new TokenDecoder(files.tokenizer.decoder, vocabulary, added, file);
    this.#special = added.filter((token) => token.special);
    this.#matchers = {
      recognise: this.#matchersOf(added),
      spell: this.#matchersOf(added.filter((token) => !token.special)),
    };
    [this.#prefix, this.#suffix] = this.#surroundings(file);
    this.specialTokens = namedTokens(files.tokenizerConfig);
    this.endTokens = endTokensOf(files, (token) => ids.get(token));
    this.#templates = new ChatTemplates(files, {
      specialTokens: this.specialTokens,
      now: options.now ?? (() => new Date()),
    });
  }

  /** The id of a token's text in the vocabulary ("Ġthe", "<|im_end|>"). */
  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  /** @throws TokenizerError when the text holds half a surrogate pair, which no UTF-8 can spell. */
  encode(
    text: string,
    {
      addSpecial = true,
      specialTokenText = this.#options.specialTokenText ?? "recognise",
    }: EncodeOptions = {},
  ): Int32Array {
    checkText(text);
    const ids = this.#encodeText(text, specialTokenText, (section) => section);
    return Int32Array.from(addSpecial ? [...this.#prefix, ...ids, ...this.#suffix] : ids);
  }

  /** Ids that no token has contribute nothing, as in the reference; a negative or fractional one is an error. */
  decode(
    tokens: Int32Array | readonly number[],
    { skipSpecial = false }: { readonly skipSpecial?: boolean } = {},
  ): string {
    const wrong = tokens.findIndex((id: number) => !Number.isSafeInteger(id) || id < 0);
    if (wrong >= 0) {
      throw new TokenizerError({
        code: "E_TOKENIZER_ID",
        message: `Token ${wrong} of ${tokens.length} to decode is ${tokens[wrong]}, which is no token id.`,
        hint: "give ids as a sampler or encode returned them.",
      });
    }
    return this.#decoder.decode(tokens, skipSpecial);
  }

  encodeChat(
    messages: readonly (ChatMessage | TemplateMessage)[],
    { specialTokenText = this.#options.specialTokenText ?? "recognise", ...options }: EncodeChatOptions = {},
  ): Int32Array {
    // The template's own special tokens are found; those of the messages are broken until they no longer can be.
    const { value, restore } = this.#guard(messages, specialTokenText);
    const text = this.renderChat(value, options);
    checkText(text);
    return Int32Array.from(this.#encodeText(text, "recognise", restore));
  }

  /** Undefined also where an output ended with another end token than the template writes. */
  continueChat(
    {
      messages: earlier,
      output,
      tools,
    }: {
      readonly messages: readonly ChatMessage[];
      readonly output: Int32Array;
      readonly tools?: readonly ChatTool[];
    },
    messages: readonly ChatMessage[],
    {
      specialTokenText = this.#options.specialTokenText ?? "recognise",
    }: Pick<EncodeChatOptions, "specialTokenText"> = {},
  ): Int32Array | undefined {
    const last = output.at(-1);
    const ended = last !== undefined && this.endTokens.includes(last);
    const end = ended ? this.#decodeLater([last]) : undefined;
    const answer = this.#decodeLater(ended ? output.subarray(0, -1) : output);
    const { value, restore } = this.#guard({ earlier, answer, messages }, specialTokenText);
    const text = textAfterOutput(value.earlier, { text: value.answer, end }, value.messages, (all) =>
      this.renderChat(all, { addGenerationPrompt: true, ...(tools === undefined ? {} : { tools }) }),
    );
    if (text === undefined) return undefined;
    checkText(text);
    const ids = this.#encodeText(text, "recognise", restore, { continues: true });
    if (ended) return ids[0] === last ? Int32Array.from(ids.slice(1)) : undefined;
    // Text that no special token begins may be encoded otherwise than in one piece with what comes before it.
    const exact = this.#decodeLater([...output, ...ids]) === answer + restore(text);
    return exact ? Int32Array.from(ids) : undefined;
  }

  parseToolCalls(text: string): ParsedToolCalls | undefined {
    if (this.#templates.names.length === 0) return undefined;
    const format = toolCallFormat(this.#templates.select(undefined, true).source);
    return format && parseToolCalls(text, format);
  }

  /** The chat prompt as text, before it is encoded. */
  renderChat(
    messages: readonly (ChatMessage | TemplateMessage)[],
    { template, ...input }: Omit<EncodeChatOptions, "specialTokenText"> = {},
  ): string {
    const tools = openAiTools(input.tools ?? []);
    const chosen = this.#templates.select(template, tools.length > 0);
    if (tools.length > 0) chosen.requireTools();
    return chosen.render({
      ...input,
      messages: openAiMessages(messages),
      ...(input.tools === undefined ? {} : { tools }),
    });
  }

  /**
   * The raw bytes each id contributes, for decoding as tokens arrive: concatenated they are the UTF-8 of `decode`
   * (without the leading space that SentencePiece-like decoders strip). `size`: at least so many entries, for models
   * with more embedding rows than tokens. `skipSpecial` (default true): special tokens contribute nothing.
   */
  tokenBytes({ size = 0, skipSpecial = true }: { size?: number; skipSpecial?: boolean } = {}): TokenBytes {
    return this.#decoder.tokenBytes(Math.max(size, this.vocabularySize), skipSpecial);
  }

  #matchersOf(tokens: readonly AddedToken[]): readonly [AddedTokenMatcher, AddedTokenMatcher] {
    const normalized = tokens.filter((token) => token.normalized);
    return [
      new AddedTokenMatcher(tokens.filter((token) => !token.normalized)),
      new AddedTokenMatcher(
        normalized,
        normalized.map((token) => this.#normalize(token.content)),
      ),
    ];
  }

  #normalize(text: string): string {
    return this.#library.normalizer ? this.#library.normalizer.normalize(text) : text;
  }

  /** As `decode` where other tokens come before: SentencePiece-like decoders strip the first space of a whole text. */
  #decodeLater(tokens: Int32Array | readonly number[]): string {
    const before = this.endTokens[0] ?? 0;
    return this.decode([before, ...tokens]).slice(this.decode([before]).length);
  }

  /** A copy whose strings have no special tokens that could be found, where such text is to be spelled. */
  #guard<T>(value: T, special: SpecialTokenText): BrokenTokens<T> {
    return special === "recognise" ? { value, restore: (text) => text } : breakTokens(value, this.#special);
  }

  /**
   * `restore` undoes what was done to the text so that its special tokens are not found. `continues`: other text comes
   * before this one, so that no decoder's leading space belongs to it.
   */
  #encodeText(
    text: string,
    special: SpecialTokenText,
    restore: (section: string) => string,
    { continues = false }: { readonly continues?: boolean } = {},
  ): number[] {
    const ids: number[] = [];
    const [plain, normalized] = this.#matchers[special];
    plain.split(text).forEach((section, index) => {
      if (typeof section !== "string") {
        ids.push(section.id);
        return;
      }
      for (const part of normalized.split(this.#normalize(restore(section)))) {
        if (typeof part === "string") this.#encodePart(part, continues ? index + 1 : index, ids);
        else ids.push(part.id);
      }
    });
    return ids;
  }

  #encodePart(text: string, sectionIndex: number, ids: number[]): void {
    const { pre_tokenizer: preTokenizer, model } = this.#library;
    const words = preTokenizer ? preTokenizer._call(text, { section_index: sectionIndex }) : [text];
    for (const token of model!._call(words)) {
      const id = this.#ids.get(token);
      // The BPE model gives tokens of its vocabulary only; a piece without one is left out there, as in the reference.
      if (id !== undefined) ids.push(id);
    }
  }

  /** What the post-processor puts before and after a text. */
  #surroundings(file: string): readonly [readonly number[], readonly number[]] {
    const processor = this.#library.post_processor;
    if (!processor) return [[], []];
    const text = "\0text\0";
    const { tokens } = processor.post_process([text], null, true);
    const at = tokens.indexOf(text);
    if (at < 0) throw badFormat(file, 'has a "post_processor" that drops the text');
    const idsOf = (special: readonly string[]) =>
      special.map((token) => {
        const id = this.#ids.get(token);
        if (id === undefined) throw badFormat(file, `has a "post_processor" with the unknown token ${token}`);
        return id;
      });
    return [idsOf(tokens.slice(0, at)), idsOf(tokens.slice(at + 1))];
  }
}

function libraryTokenizer(json: object, file: string): Tokenizer {
  try {
    const tokenizer = new Tokenizer(json, {});
    speedUpSplits(tokenizer.pre_tokenizer);
    return tokenizer;
  } catch (cause) {
    throw badFormat(file, `cannot be used: ${(cause as Error).message}`, cause);
  }
}

function vocabularyOf(
  library: Tokenizer,
  added: readonly AddedToken[],
  file: string,
): { ids: ReadonlyMap<string, number>; vocabulary: readonly (string | undefined)[] } {
  const ids = new Map<string, number>();
  for (const [token, id] of library.get_vocab(true) as Map<string | undefined, number>) {
    // The library has an entry for each gap between ids.
    if (token !== undefined) ids.set(token, id);
  }
  for (const { content, id } of added) ids.set(content, id);
  const vocabulary: (string | undefined)[] = [];
  for (const [token, id] of ids) {
    if (id < 0 || id >= 2 ** 26)
      throw badFormat(file, `gives the token ${JSON.stringify(token)} the id ${id}`);
    while (vocabulary.length <= id) vocabulary.push(undefined);
    vocabulary[id] = token;
  }
  return { ids, vocabulary };
}

const halfPair = /\p{Surrogate}/u;

function checkText(text: string): void {
  const at = text.search(halfPair);
  if (at < 0) return;
  throw new TokenizerError({
    code: "E_TOKENIZER_TEXT",
    message: `The text to encode has half a surrogate pair at position ${at} of ${text.length}: it is no Unicode text.`,
    hint: "a string was cut inside a character such as an emoji; cut by code points, or call text.toWellFormed().",
    facts: { position: at },
  });
}
