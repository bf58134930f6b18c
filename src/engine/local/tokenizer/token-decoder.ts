/**
 * @file From ids back to bytes and text, for the two kinds of BPE that Llama and Qwen models have: byte-level, and
 * SentencePiece-like with byte fallback. Follows the decoders of Hugging Face `tokenizers`.
 */

import type { AddedToken } from "./added-tokens.ts";
import { bytesOfByteLevelToken } from "./byte-level.ts";
import { badFormat, isObject, type JsonObject } from "./tokenizer-files.ts";
import { unsupported } from "./tokenizer-json.ts";

/** The raw bytes each id contributes; concatenated they are the UTF-8 of the text. */
export type TokenBytes = readonly Uint8Array[];

const nothing = new Uint8Array(0);
const encoder = new TextEncoder();
// A byte order mark is text like any other; bytes that are no UTF-8 become U+FFFD, as in Rust.
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** How a SentencePiece-like decoder turns pieces into text. */
interface PieceRules {
  readonly replacements: readonly (readonly [from: string, to: string])[];
  /** Spaces removed from the start of the whole text. */
  readonly stripStart: number;
}

export class TokenDecoder {
  /** [vocabularySize] bytes of each id; empty where no token has the id. */
  readonly #bytes: readonly Uint8Array[];
  /** [vocabularySize] 1: a special token. */
  readonly #special: Uint8Array;
  /** [vocabularySize] 1: a `<0xNN>` token; undefined for byte-level vocabularies. */
  readonly #isByte: Uint8Array | undefined;
  readonly #stripStart: number;

  constructor(
    json: unknown,
    vocabulary: readonly (string | undefined)[],
    added: readonly AddedToken[],
    file: string,
  ) {
    const pieces = pieceRules(json, file);
    this.#stripStart = pieces?.stripStart ?? 0;
    this.#special = new Uint8Array(vocabulary.length);
    for (const { id, special } of added) this.#special[id] = special ? 1 : 0;
    if (pieces) {
      this.#isByte = Uint8Array.from(vocabulary, (token) => (byteOf(token) === undefined ? 0 : 1));
      this.#bytes = vocabulary.map((token) => bytesOfPiece(token, pieces));
    } else {
      this.#isByte = undefined;
      // A token with a character that stands for no byte is its own text.
      this.#bytes = vocabulary.map((token) =>
        token === undefined ? nothing : (bytesOfByteLevelToken(token) ?? encoder.encode(token)),
      );
    }
  }

  /** Ids of `size` and above contribute nothing; `skipSpecial` makes special tokens contribute nothing either. */
  tokenBytes(size: number, skipSpecial: boolean): TokenBytes {
    return Array.from({ length: size }, (_, id) =>
      skipSpecial && this.#special[id] === 1 ? nothing : (this.#bytes[id] ?? nothing),
    );
  }

  decode(tokens: ArrayLike<number>, skipSpecial: boolean): string {
    const kept: number[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const id = tokens[i]!;
      // Padding of the embedding matrix beyond the vocabulary stands for no text, as in the reference.
      if (id < this.#bytes.length && !(skipSpecial && this.#special[id] === 1)) kept.push(id);
    }
    const text = this.#isByte
      ? this.#decodePieces(kept, this.#isByte)
      : lenient.decode(this.#concatenate(kept));
    let start = 0;
    while (start < this.#stripStart && text[start] === " ") start++;
    return text.slice(start);
  }

  /** A run of byte tokens is one text if it is UTF-8, else one U+FFFD a byte. */
  #decodePieces(ids: readonly number[], isByte: Uint8Array): string {
    let text = "";
    for (let i = 0; i < ids.length; ) {
      let end = i + 1;
      if (isByte[ids[i]!] === 0) {
        text += lenient.decode(this.#bytes[ids[i]!]);
      } else {
        while (end < ids.length && isByte[ids[end]!] === 1) end++;
        const run = this.#concatenate(ids.slice(i, end));
        try {
          text += strict.decode(run);
        } catch {
          text += "\ufffd".repeat(run.length);
        }
      }
      i = end;
    }
    return text;
  }

  #concatenate(ids: readonly number[]): Uint8Array {
    let length = 0;
    for (const id of ids) length += this.#bytes[id]!.length;
    const result = new Uint8Array(length);
    let at = 0;
    for (const id of ids) {
      result.set(this.#bytes[id]!, at);
      at += this.#bytes[id]!.length;
    }
    return result;
  }
}

function byteOf(token: string | undefined): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(token ?? "")?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

function bytesOfPiece(token: string | undefined, { replacements }: PieceRules): Uint8Array {
  if (token === undefined) return nothing;
  const byte = byteOf(token);
  if (byte !== undefined) return Uint8Array.of(byte);
  return encoder.encode(replacements.reduce((text, [from, to]) => text.replaceAll(from, () => to), token));
}

/** `undefined` for a byte-level decoder. */
function pieceRules(json: unknown, file: string): PieceRules | undefined {
  if (!isObject(json)) throw unsupported(file, "decoder", json ?? null);
  const parts = json.type === "Sequence" ? json.decoders : [json];
  if (!Array.isArray(parts) || !parts.every(isObject))
    throw badFormat(file, 'has a "decoder" without its list');
  const types = parts.map((part) => String(part.type)).join(" ");
  if (types === "ByteLevel") return undefined;
  if (!/^(Replace )*ByteFallback Fuse( Strip)?$/.test(types)) throw unsupported(file, "decoder", types);
  return {
    replacements: parts.filter((part) => part.type === "Replace").map((part) => replacement(part, file)),
    stripStart: stripStart(parts.at(-1)!, file),
  };
}

function replacement(part: JsonObject, file: string): readonly [string, string] {
  const { pattern, content } = part;
  if (!isObject(pattern) || typeof pattern.String !== "string" || typeof content !== "string") {
    throw unsupported(file, "decoder option Replace.pattern", pattern ?? null);
  }
  return [pattern.String, content];
}

function stripStart(part: JsonObject, file: string): number {
  if (part.type !== "Strip") return 0;
  if (part.content !== " " || part.stop !== 0 || typeof part.start !== "number") {
    throw unsupported(file, "decoder option Strip", part);
  }
  return part.start;
}
