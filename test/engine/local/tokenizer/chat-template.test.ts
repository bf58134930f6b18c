/** @file Chat templates render byte by byte what `transformers` renders (make_chat_templates.py). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ChatTemplate, ChatTemplates } from "../../../../src/engine/local/tokenizer/chat-template.ts";
import type { TokenizerFiles } from "../../../../src/engine/local/tokenizer/tokenizer-files.ts";

interface Case {
  readonly template: string;
  readonly conversation: {
    readonly messages: readonly { readonly role: string; readonly content: string }[];
    readonly tools?: readonly unknown[];
    readonly add_generation_prompt?: boolean;
    readonly variables?: Readonly<Record<string, unknown>>;
  };
  readonly text?: string;
  readonly refused?: string;
}

const fixtures = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
const { specialTokens, cases }: { specialTokens: Record<string, string>; cases: readonly Case[] } =
  JSON.parse(readFileSync(`${fixtures}chat-templates.json`, "utf8"));
const globals = { specialTokens, now: () => new Date(2026, 2, 5, 14, 7, 9) };

describe.each([...new Set(cases.map((one) => one.template))])("%s", (name) => {
  const template = new ChatTemplate(
    readFileSync(`${fixtures}chat-templates/${name}`, "utf8"),
    globals,
    `chat-templates/${name}`,
  );
  const own = cases.filter((one) => one.template === name);
  test.each(own.map((one, index) => ({ index, ...one })))(
    "conversation $index",
    ({ conversation, text, refused }) => {
      const { add_generation_prompt: addGenerationPrompt = false, ...input } = conversation;
      const render = () => template.render({ ...input, addGenerationPrompt });
      if (refused === undefined) expect(render()).toBe(text);
      else expect(render).toThrow(refused);
    },
  );
});

const files: TokenizerFiles = {
  folder: "model",
  tokenizer: {},
  tokenizerConfig: {},
  generationConfig: undefined,
  modelConfig: undefined,
  chatTemplate: undefined,
  namedChatTemplates: new Map(),
};
const messages = [{ role: "user", content: "x" }];
const rendered = (more: Partial<TokenizerFiles>, name?: string, hasTools = false) =>
  new ChatTemplates({ ...files, ...more }, globals).select(name, hasTools).render({ messages });

describe("choice of a template", () => {
  test("a string in tokenizer_config.json", () => {
    expect(rendered({ tokenizerConfig: { chat_template: "A{{ messages[0].content }}" } })).toBe("Ax");
  });

  test("a file of its own wins", () => {
    expect(rendered({ tokenizerConfig: { chat_template: "A" }, chatTemplate: "B" })).toBe("B");
  });

  test("named templates: default, tool_use with tools, by name", () => {
    const tokenizerConfig = {
      chat_template: [
        { name: "default", template: "D" },
        { name: "tool_use", template: "T" },
        { name: "rag", template: "R" },
      ],
    };
    expect(rendered({ tokenizerConfig })).toBe("D");
    expect(rendered({ tokenizerConfig }, undefined, true)).toBe("T");
    expect(rendered({ tokenizerConfig }, "rag")).toBe("R");
    expect(() => rendered({ tokenizerConfig }, "rga")).toThrow(
      'no chat template "rga"; it has default, tool_use, rag',
    );
  });

  test("named files", () => {
    const more = { chatTemplate: "D", namedChatTemplates: new Map([["tool_use", "T"]]) };
    expect(rendered(more)).toBe("D");
    expect(rendered(more, undefined, true)).toBe("T");
  });

  test("none, malformed, unparsable: typed errors that name the place", () => {
    expect(() => rendered({})).toThrow(
      expect.objectContaining({
        code: "E_CHAT_TEMPLATE_MISSING",
        message: expect.stringContaining("plain strings"),
      }),
    );
    expect(() => rendered({ tokenizerConfig: { chat_template: 3 } })).toThrow(
      expect.objectContaining({ code: "E_CHAT_TEMPLATE_FORMAT" }),
    );
    expect(() => rendered({ chatTemplate: "{% if %}" })).toThrow(
      expect.objectContaining({
        code: "E_CHAT_TEMPLATE_SYNTAX",
        message: expect.stringContaining("model/chat_template.jinja"),
      }),
    );
  });

  test("a template's own refusal is told from a failure", () => {
    expect(() => rendered({ chatTemplate: "{{ raise_exception('roles must alternate') }}" })).toThrow(
      expect.objectContaining({ code: "E_CHAT_TEMPLATE_REFUSED" }),
    );
    expect(() => rendered({ chatTemplate: "{{ messages | nonsense }}" })).toThrow(
      expect.objectContaining({ code: "E_CHAT_TEMPLATE_RENDER" }),
    );
    expect(() => rendered({ chatTemplate: "{{ strftime_now('%Q') }}" })).toThrow(
      expect.objectContaining({ code: "E_CHAT_TEMPLATE_DATE" }),
    );
  });
});
