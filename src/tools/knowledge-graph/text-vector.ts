/**
 * @file An embedding of a text that needs no model: its words and the three-letter pieces of each, hashed into a vector
 * of length 1.
 *
 * Source: feature hashing, Weinberger et al. (arXiv 0902.2206): a feature adds its weight with a sign, so that collisions
 * cancel on average. CHOSEN: MixRAGRec embeds with all-MiniLM-L6-v2; any encoder takes this one's place by injection.
 */

import { foldText } from "../bm25.ts";
import { checkCount } from "./errors.ts";

/** Turns a text into a vector of one fixed length, the same whenever it is asked. */
export type EmbedText = (text: string) => Float32Array;

/** What a three-letter piece counts beside a whole word: enough for "Norwegian" to be near "Norway". */
const pieceWeight = 0.3;

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/**
 * @param width numbers of a vector. Default 256.
 * @returns an embedding into [width], of length 1; zeros for a text without letters or digits.
 */
export function hashedWords(width = 256): EmbedText {
  checkCount("hashedWords", "width", width, 1);
  return (text) => {
    const sum = new Float64Array(width);
    const add = (feature: string, weight: number) => {
      const code = hash(feature);
      sum[(code >>> 1) % width]! += code % 2 === 0 ? weight : -weight;
    };
    for (const word of foldText(text).match(/[\p{L}\p{N}]+/gu) ?? []) {
      add(`=${word}`, 1);
      const letters = [..." ", ...word, " "];
      for (let i = 0; i + 2 < letters.length; i++) add(letters.slice(i, i + 3).join(""), pieceWeight);
    }
    const length = Math.hypot(...sum);
    return Float32Array.from(sum, (value) => (length === 0 ? 0 : value / length));
  };
}

/** Cosine in float64; 0 where a vector is zero. Both are [width]. */
export function cosine(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let product = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (let i = 0; i < left.length; i++) {
    product += left[i]! * right[i]!;
    leftSquares += left[i]! ** 2;
    rightSquares += right[i]! ** 2;
  }
  return leftSquares === 0 || rightSquares === 0 ? 0 : product / Math.sqrt(leftSquares * rightSquares);
}
