/** @file Prompts as tokens, encoded once: the episodes of a group ask the same first question many times. */

import type { ChatMessage, ChatTool, PolicyTokenizer } from "../engine/policy.ts";

/** Tokens of a prompt with a 64-bit fingerprint of them, which names random streams. */
export interface EncodedPrompt {
  readonly tokens: Int32Array;
  readonly hash: readonly [number, number];
}

/** Two independent FNV-1a lanes over the ids. */
export function fingerprint(tokens: Int32Array): readonly [number, number] {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < tokens.length; i++) {
    low = Math.imul(low ^ tokens[i]!, 0x01000193);
    high = Math.imul(high ^ (tokens[i]! + i), 0x85ebca6b);
    high ^= high >>> 15;
  }
  return [low >>> 0, high >>> 0];
}

/** The same over the UTF-16 units of a text, for policies that have no tokens. */
export function fingerprintText(text: string): readonly [number, number] {
  const units = new Int32Array(text.length);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  return fingerprint(units);
}

/** Bounded; dropped whole when full, since the prompts of a step are rarely those of the next. */
export class PromptCache {
  readonly #byTokenizer = new Map<PolicyTokenizer, Map<string, EncodedPrompt>>();
  readonly #limit: number;

  constructor(limit = 8192) {
    this.#limit = limit;
  }

  encode(
    tokenizer: PolicyTokenizer,
    prompt: string | readonly ChatMessage[],
    tools?: readonly ChatTool[],
  ): EncodedPrompt {
    let known = this.#byTokenizer.get(tokenizer);
    if (known === undefined) {
      known = new Map();
      this.#byTokenizer.set(tokenizer, known);
    }
    const name = typeof prompt === "string" ? `t${prompt}` : `c${JSON.stringify([prompt, tools])}`;
    const found = known.get(name);
    if (found !== undefined) return found;
    if (known.size >= this.#limit) known.clear();
    const tokens =
      typeof prompt === "string"
        ? tokenizer.encode(prompt)
        : tokenizer.encodeChat(prompt, {
            addGenerationPrompt: true,
            ...(tools === undefined ? {} : { tools }),
          });
    const encoded = { tokens, hash: fingerprint(tokens) };
    known.set(name, encoded);
    return encoded;
  }
}
