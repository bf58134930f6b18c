/** @file Makes special tokens inside chat messages unrecognisable while a template is rendered, and restores them. */

import type { AddedToken } from "./added-tokens.ts";
import { TokenizerError } from "./errors.ts";

export interface BrokenTokens<T> {
  readonly value: T;
  /** Removes what was put in. */
  readonly restore: (text: string) => string;
}

/**
 * Copies a JSON-like value with a mark after the first character of each special token in its strings, so that they are
 * no longer found. The mark is a character that Unicode reserves for no character and that the value does not have.
 */
export function breakTokens<T>(value: T, tokens: readonly AddedToken[]): BrokenTokens<T> {
  const contents = tokens.map((token) => token.content).filter((content) => [...content].length > 1);
  if (contents.length === 0) return { value, restore: (text) => text };
  const mark = unusedNoncharacter(JSON.stringify(value));
  const pattern = new RegExp(
    contents
      .toSorted((a, b) => b.length - a.length)
      .map((content) => content.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"))
      .join("|"),
    "gu",
  );
  const broken = (text: string) =>
    text.replace(pattern, (token) => {
      const first = String.fromCodePoint(token.codePointAt(0)!);
      return first + mark + token.slice(first.length);
    });
  return { value: mapStrings(value, broken) as T, restore: (text) => text.replaceAll(mark, "") };
}

/** U+FDD0 … U+FDEF are set aside by Unicode for such inner use. */
function unusedNoncharacter(text: string): string {
  for (let code = 0xfdd0; code <= 0xfdef; code++) {
    const mark = String.fromCharCode(code);
    if (!text.includes(mark)) return mark;
  }
  throw new TokenizerError({
    code: "E_TOKENIZER_TEXT",
    message:
      "The messages hold all 32 noncharacters U+FDD0 to U+FDEF, so none is left to mark special tokens with.",
    hint: 'remove them from the messages, or encode with specialTokenText: "recognise".',
  });
}

function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapStrings(item, map)]));
}
