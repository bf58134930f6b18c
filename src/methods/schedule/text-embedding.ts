/**
 * @file A frozen embedding of a text that needs no model: its three-letter pieces, hashed into a vector of length 1.
 *
 * Source: feature hashing, Weinberger et al. (arXiv 0902.2206): a piece adds ±1 to one place, so that collisions cancel on
 * average. CHOSEN for novelty, where hidden states of a frozen model would do better and cost a pass.
 */

import { key } from "../../random/stream.ts";
import { wrongSetting } from "../errors.ts";

/** @param width numbers of the embedding. @returns [width], of length 1; zeros for a text without pieces. */
export function textEmbedding(text: string, width: number): Float64Array {
  if (!Number.isInteger(width) || width < 1)
    throw wrongSetting("textEmbedding", "width", width, "an integer of at least 1");
  const embedding = new Float64Array(width);
  // Borders count: a text of one letter has one piece.
  const letters = text === "" ? [] : [..." ", ...text.normalize("NFC"), " "];
  for (let i = 0; i + 2 < letters.length; i++) {
    const [place, sign] = key("piece", letters.slice(i, i + 3).join(""));
    embedding[place % width]! += sign % 2 === 0 ? 1 : -1;
  }
  const length = Math.hypot(...embedding);
  return length === 0 ? embedding : embedding.map((value) => value / length);
}
