/** @file A tokenizer of whole words, for policies that exist to test workflows and training loops. */

import type { ChatMessage, PolicyTokenizer } from "../engine/policy.ts";

/** Id 0 ends an output, id 1 stands for every word that is not in the list. */
export class WordTokenizer implements PolicyTokenizer {
  readonly words: readonly string[];
  readonly endTokens = [0];
  readonly #ids: ReadonlyMap<string, number>;

  constructor(words: readonly string[]) {
    this.words = ["<end>", "<unknown>", ...words];
    this.#ids = new Map(this.words.map((word, id) => [word, id]));
  }

  get vocabularySize(): number {
    return this.words.length;
  }

  encode(text: string): Int32Array {
    const words = text.split(/\s+/u).filter((word) => word !== "");
    return Int32Array.from(words, (word) => this.#ids.get(word) ?? 1);
  }

  decode(
    tokens: Int32Array | readonly number[],
    { skipSpecial = true }: { readonly skipSpecial?: boolean } = {},
  ): string {
    const kept = Array.from(tokens).filter((id) => !(skipSpecial && id === 0));
    return kept.map((id) => this.words[id] ?? "<unknown>").join(" ");
  }

  encodeChat(messages: readonly ChatMessage[]): Int32Array {
    return this.encode(messages.map(({ role, content }) => `${role} ${content}`).join(" "));
  }
}
