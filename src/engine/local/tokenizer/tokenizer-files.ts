/** @file Reads the files of a model folder that say how text becomes ids; what is missing or broken is said by name. */

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { TokenizerError } from "./errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface TokenizerFiles {
  readonly folder: string;
  readonly tokenizer: JsonObject;
  /** `tokenizer_config.json`, over `special_tokens_map.json` where an older folder has one; {} without either. */
  readonly tokenizerConfig: JsonObject;
  readonly generationConfig: JsonObject | undefined;
  readonly modelConfig: JsonObject | undefined;
  /** `chat_template.jinja`; newer folders have it instead of the field of `tokenizer_config.json`. */
  readonly chatTemplate: string | undefined;
  /** `additional_chat_templates/<name>.jinja` by name. */
  readonly namedChatTemplates: ReadonlyMap<string, string>;
}

/** @throws TokenizerError when there is no `tokenizer.json`, or a file is not what it should be. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const tokenizer = await readJson(join(folder, "tokenizer.json"));
  if (!tokenizer) throw await missingTokenizer(folder);
  const [config, specialTokens, generationConfig, modelConfig, chatTemplate, namedChatTemplates] =
    await Promise.all([
      readJson(join(folder, "tokenizer_config.json")),
      readJson(join(folder, "special_tokens_map.json")),
      readJson(join(folder, "generation_config.json")),
      readJson(join(folder, "config.json")),
      readText(join(folder, "chat_template.jinja")),
      readNamedTemplates(join(folder, "additional_chat_templates")),
    ]);
  const tokenizerConfig = { ...specialTokens, ...config };
  return {
    folder,
    tokenizer,
    tokenizerConfig,
    generationConfig,
    modelConfig,
    chatTemplate,
    namedChatTemplates,
  };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isMissing = (cause: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "");

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw new TokenizerError({
      code: "E_TOKENIZER_READ",
      message: `${file} cannot be read: ${(cause as Error).message}`,
      hint: "check the file's permissions and that it is a file.",
      cause,
      facts: { file },
    });
  }
}

async function readJson(file: string): Promise<JsonObject | undefined> {
  const text = await readText(file);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badFormat(file, `is not JSON: ${(cause as Error).message}`, cause);
  }
  if (!isObject(value)) throw badFormat(file, "holds no JSON object");
  return value;
}

/** For a file that was found and is not what it should be. */
export function badFormat(file: string, problem: string, cause?: unknown): TokenizerError {
  return new TokenizerError({
    code: "E_TOKENIZER_FORMAT",
    message: `${file} ${problem}.`,
    hint: "it is truncated or was edited by hand; download or copy it again.",
    cause,
    facts: { file },
  });
}

async function readNamedTemplates(folder: string): Promise<ReadonlyMap<string, string>> {
  const templates = new Map<string, string>();
  for (const name of (await list(folder)).filter((file) => file.endsWith(".jinja")).toSorted()) {
    const text = await readText(join(folder, name));
    if (text !== undefined) templates.set(basename(name, ".jinja"), text);
  }
  return templates;
}

async function list(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw cause;
  }
}

/** Other spellings of a tokenizer that folders come with, and what turns them into `tokenizer.json`. */
const otherSpellings = ["tokenizer.model", "spiece.model", "vocab.json", "tiktoken.model", "qwen.tiktoken"];

const shortList = (names: readonly string[]) =>
  names.length <= 8 ? names.join(", ") : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;

async function missingTokenizer(folder: string): Promise<TokenizerError> {
  const entry = await stat(folder).catch(() => undefined);
  if (entry?.isDirectory() !== true) {
    const place = isAbsolute(folder) ? folder : `${folder} (${resolve(folder)})`;
    return new TokenizerError({
      code: "E_TOKENIZER_MISSING",
      message: entry ? `${place} is a file, not a model folder.` : `There is no model folder ${place}.`,
      hint: "give the folder that holds tokenizer.json and config.json; a model from the hub comes with `troupe pull <org/name>`.",
      facts: { folder, present: [] },
    });
  }
  const present = await list(folder);
  const others = otherSpellings.filter((file) => present.includes(file));
  const found = present.length === 0 ? "the folder is empty" : `the folder holds ${shortList(present)}`;
  return new TokenizerError({
    code: "E_TOKENIZER_MISSING",
    message: `${folder} has no tokenizer: tokenizer.json was looked for (and tokenizer_config.json beside it); ${found}.`,
    hint:
      others.length > 0
        ? `convert ${others.join(", ")} with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).`
        : "copy tokenizer.json and tokenizer_config.json of the model's repository into the folder.",
    facts: { folder, present },
  });
}
