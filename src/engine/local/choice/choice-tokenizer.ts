/**
 * @file Text of a choice policy as tokens: ids 0 to 255 are the bytes of UTF-8, then one id for each choice, then the end.
 * The policy writes one choice and never the end; that id is there for programs that close what they write with it.
 */

import type { ChatMessage, ChatTool, PolicyTokenizer } from "../../policy.ts";
import { ChoicePolicyError } from "./errors.ts";

const bytes = 256;
const encoder = new TextEncoder();
/** A byte order mark is text like any other: the same tokens must give the same text wherever they stand. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class ChoiceTokenizer implements PolicyTokenizer {
  readonly choices: readonly string[];
  readonly endTokens: readonly number[];
  readonly #places: ReadonlyMap<string, number>;

  constructor(choices: readonly string[]) {
    this.choices = choices;
    this.endTokens = [bytes + choices.length];
    this.#places = new Map(choices.map((name, place) => [name, place]));
  }

  /** 256 + choices + 1. */
  get vocabularySize(): number {
    return bytes + this.choices.length + 1;
  }

  /** Token id of the choice at `place` of the list. */
  tokenOf(place: number): number {
    return bytes + place;
  }

  /** Place of a token in the list of choices; −1 for bytes and the end. */
  placeOf(token: number): number {
    return token >= bytes && token < bytes + this.choices.length ? token - bytes : -1;
  }

  isEnd(token: number): boolean {
    return token === this.endTokens[0];
  }

  /** A text that is exactly a choice's name is its one token; every other text is its bytes. */
  encode(text: string): Int32Array {
    const place = this.#places.get(text);
    return place === undefined ? Int32Array.from(encoder.encode(text)) : Int32Array.of(this.tokenOf(place));
  }

  decode(
    tokens: Int32Array | readonly number[],
    { skipSpecial = true }: { readonly skipSpecial?: boolean } = {},
  ): string {
    let text = "";
    let run: number[] = [];
    const flush = () => {
      if (run.length > 0) text += decoder.decode(Uint8Array.from(run));
      run = [];
    };
    for (const token of tokens) {
      if (token < bytes) {
        run.push(token);
        continue;
      }
      flush();
      if (!this.isEnd(token)) text += this.choices[token - bytes] ?? "\uFFFD";
      else if (!skipSpecial) text += "<end>";
    }
    flush();
    return text;
  }

  /**
   * The contents of the messages with an empty line between; roles are left out, as they say the same in every prompt.
   * @throws ChoicePolicyError E_CHOICE_TOOLS where tools are offered: a choice cannot call one.
   */
  encodeChat(
    messages: readonly ChatMessage[],
    { tools = [] }: { readonly addGenerationPrompt?: boolean; readonly tools?: readonly ChatTool[] } = {},
  ): Int32Array {
    if (tools.length > 0)
      throw new ChoicePolicyError({
        code: "E_CHOICE_TOOLS",
        message: `A choice policy was offered ${tools.length} tools (${tools.map(({ name }) => name).join(", ")}); it only writes one of: ${this.choices.join(", ")}.`,
        hint: "assign the agent with tools to another policy.",
      });
    const text = messages.map(({ content }) => content).join("\n\n");
    // A prompt has at least one token.
    return this.encode(text === "" ? "\n" : text);
  }
}
