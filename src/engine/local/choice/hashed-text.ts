/**
 * @file A frozen embedding of a text that needs no model: its words, pairs of words and three-letter pieces, hashed into a
 * vector of length 1.
 *
 * Source: feature hashing, Weinberger et al. (arXiv 0902.2206): a piece adds ±1 to one place, so that collisions cancel on
 * average. CHOSEN in place of a sentence encoder, which would cost a model and a pass.
 */

import { key } from "../../../random/stream.ts";

/** @param width numbers of the vector. @returns [width], of length 1; zeros for a text without words. */
export function hashedText(text: string, width: number): Float32Array {
  const sums = new Float64Array(width);
  const add = (kind: string, piece: string) => {
    const [place, sign] = key(kind, piece);
    sums[place % width]! += sign % 2 === 0 ? 1 : -1;
  };
  const words =
    text
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
  for (const [i, word] of words.entries()) {
    add("word", word);
    if (i > 0) add("pair", `${words[i - 1]} ${word}`);
    const letters = [" ", ...word, " "];
    for (let from = 0; from + 2 < letters.length; from++)
      add("letters", letters.slice(from, from + 3).join(""));
  }
  const length = Math.hypot(...sums);
  return Float32Array.from(sums, (sum) => (length === 0 ? 0 : sum / length));
}
