/**
 * @file From tokens to text while they are sampled: characters that span tokens, and stop strings that span tokens.
 *
 * The result depends on the bytes alone, never on how tokens cut them: the output ends where the first stop string
 * is complete (of those complete at the same character, the longest), and nothing that could still become a stop
 * string is revealed before it is certain.
 */

import type { TokenBytes } from "../tokenizer/token-decoder.ts";

export class OutputText {
  readonly #bytes: TokenBytes;
  readonly #stops: readonly string[];
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The longest suffix of the text that begins a stop string. */
  #held = "";
  #text = "";
  #stopped = false;

  constructor(bytes: TokenBytes, stops: readonly string[]) {
    this.#bytes = bytes;
    this.#stops = stops;
  }

  /** True once a stop string is complete. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** All text that is certain. */
  get text(): string {
    return this.#text;
  }

  /** Adds a token; returns the text that became certain. */
  push(token: number): string {
    return this.#add(this.#decoder.decode(this.#bytes[token], { stream: true }));
  }

  /** Nothing follows: an incomplete character becomes U+FFFD, a held beginning of a stop string becomes text. */
  finish(): string {
    if (this.#stopped) return "";
    const certain = this.#add(this.#decoder.decode());
    if (this.#stopped) return certain;
    const rest = this.#held;
    this.#held = "";
    this.#text += rest;
    return certain + rest;
  }

  #add(piece: string): string {
    if (piece === "" || this.#stopped) return "";
    const window = this.#held + piece;
    const start = firstComplete(window, this.#stops);
    this.#stopped = start >= 0;
    const certain = this.#stopped ? start : window.length - heldLength(window, this.#stops);
    this.#held = this.#stopped ? "" : window.slice(certain);
    const delta = window.slice(0, certain);
    this.#text += delta;
    return delta;
  }
}

/** Start of the stop string that ends first (the longest of those that end there), or -1. */
function firstComplete(window: string, stops: readonly string[]): number {
  let start = -1;
  let end = Number.POSITIVE_INFINITY;
  for (const stop of stops) {
    const at = window.indexOf(stop);
    if (at < 0) continue;
    const stopEnd = at + stop.length;
    if (stopEnd < end || (stopEnd === end && at < start)) {
      start = at;
      end = stopEnd;
    }
  }
  return start;
}

/** Length of the longest suffix of `window` that is a proper prefix of a stop string. */
function heldLength(window: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops)
    for (let length = Math.min(stop.length - 1, window.length); length > longest; length--)
      if (window.endsWith(stop.slice(0, length))) longest = length;
  return longest;
}
