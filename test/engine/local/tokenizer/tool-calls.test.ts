/** @file Tool calls are read in the format of the template, and what is broken is a fault with its reason. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseToolCalls,
  type ToolCallFormat,
  toolCallFormat,
} from "../../../../src/engine/local/tokenizer/tool-calls.ts";

const template = (name: string) =>
  readFileSync(new URL(`../../../fixtures/chat-templates/${name}.jinja`, import.meta.url), "utf8");

test("the format is that of the template", () => {
  expect(toolCallFormat(template("qwen2_5"))).toBe("tagged-json");
  expect(toolCallFormat(template("qwen3"))).toBe("tagged-json");
  expect(toolCallFormat(template("header"))).toBe("bare-json");
  expect(toolCallFormat(template("windows"))).toBeUndefined();
  expect(toolCallFormat("{{ '[TOOL_CALLS] [' }}{{ tools }}")).toBe("mistral");
  expect(toolCallFormat("<tool_call>\n<function={{ name }}>{{ tools }}")).toBeUndefined();
  expect(toolCallFormat("{{ messages[0].content }}")).toBeUndefined();
});

const search = { name: "search", arguments: { query: "capital of Peru", limit: 3 } };
const add = { name: "add", arguments: { a: 1, b: [2, { c: "}" }] } };

describe("tagged JSON", () => {
  const parse = (text: string) => parseToolCalls(text, "tagged-json");

  test("none, one, several, with text around and thinking before", () => {
    expect(parse("Lima.")).toEqual({ content: "Lima.", calls: [], faults: [] });
    const one = `<tool_call>\n${JSON.stringify(search)}\n</tool_call>`;
    expect(parse(one)).toEqual({ content: "", calls: [search], faults: [] });
    expect(parse(`Let me see.\n${one}\n<tool_call>${JSON.stringify(add)}</tool_call>`)).toEqual({
      content: "Let me see.",
      calls: [search, add],
      faults: [],
    });
    expect(parse(`<think>\nmaybe ${one}\n</think>\n\nLima`)).toEqual({
      content: `<think>\nmaybe ${one}\n</think>\n\nLima`,
      calls: [],
      faults: [],
    });
    expect(parse(`<think>hm</think>${one}`)).toEqual({
      content: "<think>hm</think>",
      calls: [search],
      faults: [],
    });
    expect(parse(`<think>\nstill ${one}`).calls).toEqual([]);
  });

  test("a closing tag inside a string does not end the call", () => {
    const call = { name: "write", arguments: { text: 'a</tool_call>b "\\" {' } };
    expect(parse(`<tool_call>${JSON.stringify(call)}</tool_call>!`)).toEqual({
      content: "!",
      calls: [call],
      faults: [],
    });
  });

  test.each([
    ["<tool_call>{'name': 'search'}</tool_call>", "it is no JSON"],
    ['<tool_call>{"name": "search", "arguments": {}', "it is not closed"],
    ['<tool_call>{"name": "search", "argu', "it is not closed"],
    ['<tool_call>{"arguments": {}}</tool_call>', 'no "name"'],
    ['<tool_call>{"name": "search"}</tool_call>', 'no "arguments"'],
    ['<tool_call>{"name": "search", "arguments": [1]}</tool_call>', '"arguments" are no JSON object'],
    ['<tool_call>{"name": "search", "arguments": "x"}</tool_call>', '"arguments" are no JSON object'],
    ["<tool_call>[1]</tool_call>", "no JSON object"],
    ["<tool_call></tool_call>", "it is no JSON"],
  ])("%s", (text, reason) => {
    const { content, calls, faults } = parse(text);
    expect(calls).toEqual([]);
    expect(faults).toEqual([expect.stringContaining(reason)]);
    expect(content).toBe(text);
  });

  test("a good call beside a bad one is kept, and arguments as a string of JSON are read", () => {
    const bad = "<tool_call>{oops}</tool_call>";
    const text = `${bad}<tool_call>{"name": "search", "arguments": "{\\"query\\": \\"x\\"}"}</tool_call>`;
    const { content, calls, faults } = parse(text);
    expect(calls).toEqual([{ name: "search", arguments: { query: "x" } }]);
    expect(faults).toHaveLength(1);
    expect(content).toBe(bad);
  });
});

describe("bare JSON", () => {
  const parse = (text: string) => parseToolCalls(text, "bare-json");
  const written = (call: typeof search | typeof add) =>
    JSON.stringify({ name: call.name, parameters: call.arguments });

  test("one, several, with the python tag", () => {
    expect(parse(` ${written(search)}\n`)).toEqual({ content: "", calls: [search], faults: [] });
    expect(parse(`<|python_tag|>${written(search)}; ${written(add)}`).calls).toEqual([search, add]);
  });

  test("an answer that is text, or JSON without a name, is no call", () => {
    for (const text of ["Lima", '{"answer": "Lima"}', `Here: ${written(search)}`])
      expect(parse(text)).toEqual({ content: text, calls: [], faults: [] });
  });

  test.each([
    ['{"name": "search", "parameters": {"query": ', "it is no JSON"],
    ['{"name": "search"}', 'no "parameters"'],
    [`${JSON.stringify({ name: "search", parameters: {} })} and so on`, "text after the call"],
    ['<|python_tag|>search.call(query="x")', "it is no JSON"],
  ])("%s", (text, reason) => {
    expect(parse(text)).toEqual({
      content: text.trim(),
      calls: [],
      faults: [expect.stringContaining(reason)],
    });
  });
});

describe("Mistral", () => {
  const parse = (text: string) => parseToolCalls(text, "mistral");

  test("a list, with and without the special token; names with arguments", () => {
    const list = JSON.stringify([{ ...search, id: "abcdefghi" }, add]);
    expect(parse(`[TOOL_CALLS] ${list}`)).toEqual({ content: "", calls: [search, add], faults: [] });
    expect(parse(list).calls).toEqual([search, add]);
    expect(parse(`Sure.[TOOL_CALLS]search[CALL_ID]abc[ARGS]${JSON.stringify(search.arguments)}`)).toEqual({
      content: "Sure.",
      calls: [search],
      faults: [],
    });
    expect(
      parse(
        `[TOOL_CALLS]search${JSON.stringify(search.arguments)}[TOOL_CALLS]add[ARGS]${JSON.stringify(add.arguments)}`,
      ).calls,
    ).toEqual([search, add]);
  });

  test("text and lists of something else are no calls; a broken list is a fault", () => {
    for (const text of ["Lima", "[1, 2]"])
      expect(parse(text)).toEqual({ content: text, calls: [], faults: [] });
    expect(parse('[TOOL_CALLS] [{"name": "search"').faults).toEqual([expect.stringContaining("not closed")]);
    expect(parse('[TOOL_CALLS] [{"name": "search"}]').faults).toEqual([
      expect.stringContaining('no "arguments"'),
    ]);
    expect(parse("[TOOL_CALLS]search").faults).toEqual([expect.stringContaining("no arguments")]);
  });
});

describe("properties", () => {
  const name = fc.stringMatching(/^[a-z_]{1,8}$/);
  const call = fc.record({ name, arguments: fc.dictionary(fc.string(), fc.jsonValue()) }).map(
    // What JSON cannot tell apart, such as −0, is not asked for.
    (value) => JSON.parse(JSON.stringify(value)) as typeof value,
  );
  const write: Record<ToolCallFormat, (calls: readonly { name: string; arguments: object }[]) => string> = {
    "tagged-json": (calls) =>
      calls.map((one) => `<tool_call>\n${JSON.stringify(one)}\n</tool_call>`).join("\n"),
    "bare-json": (calls) =>
      calls.map((one) => JSON.stringify({ name: one.name, parameters: one.arguments })).join("; "),
    mistral: (calls) => `[TOOL_CALLS] ${JSON.stringify(calls)}`,
  };

  test.each(Object.keys(write) as ToolCallFormat[])("%s: what is written is read", (format) => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), (calls) => {
        expect(parseToolCalls(write[format](calls), format)).toEqual({ content: "", calls, faults: [] });
      }),
    );
  });

  test("no text makes it throw, and text that is cut gives no call but the whole ones", () => {
    const piece = fc.constantFrom(
      "<tool_call>",
      "</tool_call>",
      "[TOOL_CALLS]",
      '{"name"',
      "{",
      "}",
      '"',
      "x",
      ";",
      "<think>",
      "[",
      "]",
      ": ",
    );
    fc.assert(
      fc.property(
        fc.array(piece).map((parts) => parts.join("")),
        (text) => {
          for (const format of ["tagged-json", "bare-json", "mistral"] as const) parseToolCalls(text, format);
        },
      ),
    );
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), fc.nat(), (calls, cut) => {
        const text = write["tagged-json"](calls);
        const { calls: read } = parseToolCalls(text.slice(0, cut % (text.length + 1)), "tagged-json");
        expect(read).toEqual(calls.slice(0, read.length));
      }),
    );
  });
});
