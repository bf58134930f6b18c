/**
 * @file Tool calls that a model wrote, in the format that its chat template teaches. Strict about JSON: what looks like
 * a call and is none is a fault with its reason, never a call with guessed arguments.
 */

import type { ChatToolCall, ParsedToolCalls } from "../../policy.ts";
import { jsonEnd } from "./json-end.ts";
import { isObject } from "./tokenizer-files.ts";

/** How calls are written. */
export type ToolCallFormat =
  /** `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, any number: Hermes, Qwen 2.5 and 3. */
  | "tagged-json"
  /** The whole output is `{"name": …, "parameters": {…}}`, more of them after `;`: Llama 3.1 to 3.3. */
  | "bare-json"
  /** `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]`, or `[TOOL_CALLS]name[ARGS]{…}` from 2025 on: Mistral. */
  | "mistral";

/** The format that a template's source shows; undefined if it shows none that is known. */
export function toolCallFormat(source: string): ToolCallFormat | undefined {
  if (source.includes("[TOOL_CALLS]")) return "mistral";
  if (source.includes("<tool_call>")) {
    // Qwen3-Coder and GLM write XML inside the same tag.
    return /<function=|<arg_key>/.test(source) ? undefined : "tagged-json";
  }
  return /\btools\b/.test(source) && /["']parameters\\?["']\s*:/.test(source) ? "bare-json" : undefined;
}

export function parseToolCalls(text: string, format: ToolCallFormat): ParsedToolCalls {
  switch (format) {
    case "tagged-json":
      return parseTagged(text);
    case "bare-json":
      return parseBare(text);
    case "mistral":
      return parseMistral(text);
  }
}

const open = "<tool_call>";
const close = "</tool_call>";

function parseTagged(text: string): ParsedToolCalls {
  const calls: ChatToolCall[] = [];
  const faults: string[] = [];
  // A call that is only thought about is none.
  let at = afterThinking(text);
  let content = text.slice(0, at);
  for (;;) {
    const start = text.indexOf(open, at);
    if (start < 0) break;
    content += text.slice(at, start);
    // The tag may stand inside a string of the arguments, so the JSON value says where the call ends.
    const from = skipSpace(text, start + open.length);
    const value = jsonEnd(text, from);
    const tag = value === undefined ? text.indexOf(close, from) : skipSpace(text, value);
    const closed = tag >= 0 && text.startsWith(close, tag);
    at = closed ? tag + close.length : value === undefined || tag < 0 ? text.length : value;
    const call = closed ? readCall(text.slice(from, tag), ["arguments"]) : `it is not closed by ${close}`;
    if (typeof call === "string") {
      faults.push(fault(calls.length + faults.length, call, text.slice(start, at)));
      content += text.slice(start, at);
    } else {
      calls.push(call);
    }
  }
  return { content: (content + text.slice(at)).trim(), calls, faults };
}

const pythonTag = "<|python_tag|>";

function parseBare(text: string): ParsedToolCalls {
  const start = afterThinking(text);
  let at = skipSpace(text, start);
  const tagged = text.startsWith(pythonTag, at);
  if (tagged) at = skipSpace(text, at + pythonTag.length);
  // JSON without a name is an ordinary answer.
  if (!tagged && !/^\{\s*"(name|type)"\s*:/.test(text.slice(at)))
    return { content: text.trim(), calls: [], faults: [] };
  const calls: ChatToolCall[] = [];
  const faults: string[] = [];
  while (at < text.length) {
    const end = jsonEnd(text, at) ?? text.length;
    const call = readCall(text.slice(at, end), ["parameters", "arguments"]);
    if (typeof call === "string") faults.push(fault(calls.length + faults.length, call, text.slice(at)));
    else calls.push(call);
    at = skipSpace(text, end);
    if (text[at] === ";") at = skipSpace(text, at + 1);
    else if (at < text.length) {
      if (typeof call !== "string")
        faults.push(fault(calls.length, "there is text after the call", text.slice(at)));
      break;
    }
  }
  // Half a list of calls is not what the model meant.
  if (faults.length > 0) return { content: text.trim(), calls: [], faults };
  return { content: text.slice(0, start).trim(), calls, faults };
}

const mistralTag = "[TOOL_CALLS]";

function parseMistral(text: string): ParsedToolCalls {
  const tag = text.indexOf(mistralTag, afterThinking(text));
  // The tag is a special token, so that decoded text may lack it.
  const from = tag < 0 ? skipSpace(text, afterThinking(text)) : skipSpace(text, tag + mistralTag.length);
  if (tag < 0 && !/^\[\s*\{\s*"(name|arguments|id)"\s*:/.test(text.slice(from)))
    return { content: text.trim(), calls: [], faults: [] };
  const content = tag < 0 ? text.slice(0, from).trim() : text.slice(0, tag).trim();
  const found = text[from] === "[" ? readList(text.slice(from)) : readNamed(text.slice(from));
  if (typeof found === "string")
    return { content: text.trim(), calls: [], faults: [fault(0, found, text.slice(from))] };
  return { content, calls: found, faults: [] };
}

/** `[{"name": …}, …]` */
function readList(text: string): readonly ChatToolCall[] | string {
  const end = jsonEnd(text, 0);
  if (end === undefined) return "its list is not closed";
  if (text.slice(end).trim() !== "") return "there is text after the list of calls";
  const list = parseJson(text.slice(0, end));
  if (!Array.isArray(list)) return "it is no JSON";
  const calls = list.map((value) => checkCall(value, ["arguments"]));
  return calls.find((call) => typeof call === "string") ?? calls.filter((call) => typeof call !== "string");
}

/** `name[ARGS]{…}`, again after each further `[TOOL_CALLS]`. */
function readNamed(text: string): readonly ChatToolCall[] | string {
  const calls: ChatToolCall[] = [];
  for (const part of text.split(mistralTag)) {
    const brace = part.indexOf("{");
    if (brace < 0) return "it has no arguments";
    // An id may stand between: name[CALL_ID]abc[ARGS]{…}
    const name = part
      .slice(0, brace)
      .replace(/\[(?:CALL_ID|ARGS)\][\s\S]*$/, "")
      .trim();
    const call = checkCall({ name, arguments: parseJson(part.slice(brace).trim()) }, ["arguments"]);
    if (typeof call === "string") return call;
    calls.push(call);
  }
  return calls;
}

/** The call, or what is wrong with it. */
function readCall(text: string, names: readonly string[]): ChatToolCall | string {
  const value = parseJson(text);
  return value === undefined ? "it is no JSON" : checkCall(value, names);
}

function checkCall(value: unknown, names: readonly string[]): ChatToolCall | string {
  if (!isObject(value)) return "it is no JSON object";
  const { name } = value;
  if (typeof name !== "string" || name === "") return 'it has no "name"';
  const field = names.find((candidate) => candidate in value);
  if (field === undefined) return `it has no "${names[0]}"`;
  // OpenAI's wire format holds the arguments as a string of JSON, and some models write what they have read there.
  const given = typeof value[field] === "string" ? parseJson(value[field]) : value[field];
  return isObject(given) ? { name, arguments: given } : `its "${field}" are no JSON object`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where an output goes on after its thinking; its length where the thinking has no end. */
function afterThinking(text: string): number {
  const end = text.lastIndexOf("</think>");
  if (end >= 0) return end + "</think>".length;
  return text.trimStart().startsWith("<think>") ? text.length : 0;
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (next < text.length && /\s/.test(text[next]!)) next++;
  return next;
}

function fault(index: number, what: string, text: string): string {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return `Tool call ${index + 1} cannot be read: ${what}: ${JSON.stringify(shown)}`;
}
