/**
 * @file Chat templates: Jinja sources that models come with, rendered as `transformers` renders them
 * (`apply_chat_template`): trimmed blocks, `raise_exception`, `strftime_now`, special tokens and tools as variables.
 */

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { ChatMessage } from "../../policy.ts";
import { ChatTemplateError } from "./errors.ts";
import { strftime } from "./strftime.ts";
import { isObject, type TokenizerFiles } from "./tokenizer-files.ts";

/** A message with whatever further fields the template reads (`tool_calls`, `name`, `reasoning_content` …). */
export interface TemplateMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface ChatTemplateInput {
  readonly messages: readonly (ChatMessage | TemplateMessage)[];
  /** Ends with the opening of an assistant's turn. Default false, as in `transformers`. */
  readonly addGenerationPrompt?: boolean;
  /** JSON schemas of tools; their form is the template's affair. */
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Further variables, for example `{ enable_thinking: false }`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** What a template knows beside its input. */
export interface ChatTemplateGlobals {
  /** `bos_token`, `eos_token` … */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** The clock behind `strftime_now`: fix it where prompts must not change with the day. */
  readonly now: () => Date;
}

/** What Jinja itself knows; the library's `Template` would declare these, and then refuses another clock. */
const constants = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range: (start: number, stop?: number, step = 1): readonly number[] => {
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
  },
} as const;

/** Carries a template's own complaint through the interpreter. */
class Raised extends Error {}

export class ChatTemplate {
  readonly source: string;
  readonly #program: ReturnType<typeof parse>;
  readonly #globals: ChatTemplateGlobals;
  readonly #origin: string;

  /** `origin` is named in errors: the file that the source came from. */
  constructor(source: string, globals: ChatTemplateGlobals, origin: string) {
    this.source = source;
    this.#globals = globals;
    this.#origin = origin;
    try {
      // Python's Jinja reads every line end as \n; the JavaScript one reads none so.
      const lines = source.replace(/\r\n?/g, "\n");
      this.#program = parse(tokenize(lines, { lstrip_blocks: true, trim_blocks: true }));
    } catch (cause) {
      throw new ChatTemplateError({
        code: "E_CHAT_TEMPLATE_SYNTAX",
        message: `The chat template of ${origin} cannot be parsed: ${(cause as Error).message}`,
        hint: "compare it with the one of the model's repository.",
        cause,
      });
    }
  }

  /** @throws ChatTemplateError when the template refuses the conversation or fails on it. */
  render({ messages, addGenerationPrompt = false, tools, documents, variables }: ChatTemplateInput): string {
    checkMessages(messages);
    const { specialTokens, now } = this.#globals;
    try {
      const environment = new Environment();
      const values = {
        ...constants,
        ...specialTokens,
        raise_exception: (message: unknown) => {
          throw new Raised(String(message));
        },
        strftime_now: (format: string) => strftime(now(), format),
        tools: tools ?? null,
        documents: documents ?? null,
        ...variables,
        messages,
        add_generation_prompt: addGenerationPrompt,
      };
      for (const [name, value] of Object.entries(values)) environment.set(name, value);
      return String(new Interpreter(environment).run(this.#program).value);
    } catch (cause) {
      if (cause instanceof ChatTemplateError) throw cause;
      const refused = cause instanceof Raised;
      throw new ChatTemplateError({
        code: refused ? "E_CHAT_TEMPLATE_REFUSED" : "E_CHAT_TEMPLATE_RENDER",
        message: `The chat template of ${this.#origin} ${refused ? "refuses the conversation" : "failed"}: ${(cause as Error).message}`,
        hint: refused
          ? `change the roles or their order; they were ${messages.map((message) => message.role).join(", ") || "none"}.`
          : "check that each message has the fields the template reads (role, content).",
        cause,
        facts: { roles: messages.map((message) => message.role) },
      });
    }
  }

  /** @throws ChatTemplateError when the template does not read `tools`: a model would never hear of them. */
  requireTools(): void {
    if (/\btools\b/.test(this.source)) return;
    throw new ChatTemplateError({
      code: "E_CHAT_TEMPLATE_TOOLS",
      message: `The chat template of ${this.#origin} does not read "tools", so the model would not hear of those given.`,
      hint: "describe the tools in a message, or use a model whose template has tools.",
    });
  }
}

/** A template prints nothing for what is missing, so that a prompt would silently lack it. */
function checkMessages(messages: ChatTemplateInput["messages"]): void {
  const wrong = messages.findIndex(
    (message) => !isObject(message) || typeof message.role !== "string" || Object.keys(message).length < 2,
  );
  if (messages.length > 0 && wrong < 0) return;
  throw new ChatTemplateError({
    code: "E_CHAT_MESSAGES",
    message:
      messages.length === 0
        ? "A chat prompt was asked for without messages."
        : `Message ${wrong} of ${messages.length} has no role or no content: ${JSON.stringify(messages[wrong])}.`,
    hint: 'give at least one message such as { role: "user", content: "…" }.',
    facts: { index: wrong, count: messages.length },
  });
}

/** The templates of one folder, by name; "default" is the usual one, "tool_use" is taken when tools are given. */
export class ChatTemplates {
  readonly #folder: string;
  readonly #sources: ReadonlyMap<string, { readonly source: string; readonly origin: string }>;
  readonly #globals: ChatTemplateGlobals;
  readonly #parsed = new Map<string, ChatTemplate>();

  constructor(files: TokenizerFiles, globals: ChatTemplateGlobals) {
    this.#folder = files.folder;
    this.#sources = templateSources(files);
    this.#globals = globals;
  }

  get names(): readonly string[] {
    return [...this.#sources.keys()];
  }

  /** @throws ChatTemplateError when the folder has no such template. */
  select(name: string | undefined, hasTools: boolean): ChatTemplate {
    const wanted = name ?? (hasTools && this.#sources.has("tool_use") ? "tool_use" : "default");
    const known = this.#parsed.get(wanted);
    if (known) return known;
    const found = this.#sources.get(wanted);
    if (!found) throw this.#missing(wanted);
    const template = new ChatTemplate(found.source, this.#globals, found.origin);
    this.#parsed.set(wanted, template);
    return template;
  }

  #missing(name: string): ChatTemplateError {
    const none = this.#sources.size === 0;
    return new ChatTemplateError({
      code: "E_CHAT_TEMPLATE_MISSING",
      message: none
        ? `${this.#folder} has no chat template: neither chat_template.jinja nor "chat_template" in tokenizer_config.json.`
        : `${this.#folder} has no chat template "${name}"; it has ${this.names.join(", ")}.`,
      hint: none
        ? "give prompts as plain strings, or put the template the model was trained with into chat_template.jinja."
        : "name one of them.",
      facts: { folder: this.#folder, names: this.names },
    });
  }
}

function templateSources({
  folder,
  chatTemplate,
  namedChatTemplates,
  tokenizerConfig,
}: TokenizerFiles): ReadonlyMap<string, { source: string; origin: string }> {
  const sources = new Map<string, { source: string; origin: string }>();
  // Files of their own win over the field, as in transformers.
  if (chatTemplate !== undefined || namedChatTemplates.size > 0) {
    for (const [name, source] of namedChatTemplates) {
      sources.set(name, { source, origin: `${folder}/additional_chat_templates/${name}.jinja` });
    }
    if (chatTemplate !== undefined) {
      sources.set("default", { source: chatTemplate, origin: `${folder}/chat_template.jinja` });
    }
    return sources;
  }
  const origin = `${folder}/tokenizer_config.json`;
  const field = tokenizerConfig.chat_template;
  if (typeof field === "string") return sources.set("default", { source: field, origin });
  if (field === undefined || field === null) return sources;
  if (Array.isArray(field)) {
    for (const entry of field) {
      if (!isObject(entry) || typeof entry.name !== "string" || typeof entry.template !== "string") {
        throw malformed(origin);
      }
      sources.set(entry.name, { source: entry.template, origin: `${origin} ("${entry.name}")` });
    }
    return sources;
  }
  throw malformed(origin);
}

function malformed(origin: string): ChatTemplateError {
  return new ChatTemplateError({
    code: "E_CHAT_TEMPLATE_FORMAT",
    message: `"chat_template" in ${origin} is neither a string nor a list of { name, template }.`,
    hint: "compare it with the file of the model's repository.",
  });
}
