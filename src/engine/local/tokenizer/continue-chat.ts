/**
 * @file What comes after a sampled output when its conversation goes on: found by rendering the whole conversation and
 * taking what follows the output's text. Where the template changes what came before (trims an answer, takes the
 * thinking out of earlier turns), no tokens can follow the sampled ones and give the text the model expects.
 */

import type { ChatMessage } from "../../policy.ts";
import { ChatTemplateError } from "./errors.ts";

/** A sampled output as text. */
export interface SampledText {
  /** Without its end token. */
  readonly text: string;
  /** The end token's text, if the output ends with one. */
  readonly end: string | undefined;
}

/**
 * @param render renders with the opening of an assistant's turn at the end.
 * @returns the text from the output's end on: it begins with the end token's text where there is one.
 */
export function textAfterOutput(
  earlier: readonly ChatMessage[],
  output: SampledText,
  later: readonly ChatMessage[],
  render: (messages: readonly ChatMessage[]) => string,
): string | undefined {
  const { text, end = "" } = output;
  let before: string;
  let whole: string;
  try {
    before = render(earlier);
    whole = render([...earlier, { role: "assistant", content: text }, ...later]);
  } catch (error) {
    // A template may refuse a tool's answer to a call that it did not render itself.
    if (error instanceof ChatTemplateError && error.code === "E_CHAT_TEMPLATE_REFUSED") return undefined;
    throw error;
  }
  if (!whole.startsWith(before + text + end)) return undefined;
  return whole.slice(before.length + text.length);
}
