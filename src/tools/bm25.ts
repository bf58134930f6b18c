/**
 * @file A full-text index with BM25 ranking. Built once; a query touches only the postings of its words.
 *
 *   score(q, d) = Σ_t idf(t) · f(t,d) · (k1 + 1) / (f(t,d) + k1 · (1 − b + b · |d| / avg|d|))
 *   idf(t)      = ln(1 + (N − n(t) + 0.5) / (n(t) + 0.5))
 *
 * Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), §3.4; the idf is
 * the form that cannot be negative (as in Lucene). A word that a query repeats counts each time.
 */

import { TroupeError } from "../errors.ts";

export class SearchIndexError extends TroupeError {}

/** One unit of retrieval: a sentence or a paragraph, with the title of the article it stands in. */
export interface Passage {
  readonly title: string;
  readonly text: string;
}

export interface SearchHit<P extends Passage = Passage> {
  readonly passage: P;
  readonly score: number;
  /** Place in the list that the index was built from. */
  readonly index: number;
}

export interface SearchIndexOptions {
  /** Saturation of repeated words. Default 1.2. */
  readonly k1?: number;
  /** Weight of length normalisation, 0 to 1. Default 0.75. */
  readonly b?: number;
  /** How often each word of the title counts. Default 1. */
  readonly titleWeight?: number;
}

/** Letters that Unicode does not decompose into a base letter and a mark. */
const undecomposed: Readonly<Record<string, string>> = {
  ø: "o",
  ł: "l",
  đ: "d",
  ð: "d",
  ħ: "h",
  ı: "i",
  ŧ: "t",
  ß: "ss",
  æ: "ae",
  œ: "oe",
  þ: "th",
};

/** Lower case, compatibility forms and marks removed, so that "Galdhøpiggen" and "GALDHOPIGGEN" are one word. */
export function foldText(text: string): string {
  return text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[øłđðħıŧßæœþ]/g, (letter) => undecomposed[letter]!);
}

/** The words of a text after folding: maximal runs of letters and digits. */
export function searchWords(text: string): readonly string[] {
  return foldText(text).match(/[\p{L}\p{N}]+/gu) ?? [];
}

interface Posting {
  /** Ascending places of the passages that have the word. */
  readonly places: number[];
  /** What each of them adds to a score per occurrence in the query; filled when the index is complete. */
  readonly weights: number[];
}

export class SearchIndex<P extends Passage = Passage> {
  readonly #passages: readonly P[];
  readonly #postings = new Map<string, Posting>();
  /** Scratch: the scores of the query at hand, all zero between queries. */
  readonly #scores: Float64Array;

  constructor(passages: readonly P[], options: SearchIndexOptions = {}) {
    const { k1 = 1.2, b = 0.75, titleWeight = 1 } = options;
    if (!(k1 >= 0) || !(b >= 0 && b <= 1) || !(titleWeight >= 0)) {
      throw new SearchIndexError({
        code: "E_SEARCH_OPTIONS",
        message: `A BM25 index was given k1 = ${k1}, b = ${b}, titleWeight = ${titleWeight}.`,
        hint: "k1 and titleWeight must be at least 0, b between 0 and 1; the defaults are 1.2, 1 and 0.75.",
        facts: { k1, b, titleWeight },
      });
    }
    this.#passages = passages;
    this.#scores = new Float64Array(passages.length);
    const lengths = passages.map((passage, place) => this.#count(passage, place, titleWeight));
    const meanLength = lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, passages.length);
    for (const { places, weights } of this.#postings.values()) {
      const idf = Math.log(1 + (passages.length - places.length + 0.5) / (places.length + 0.5));
      places.forEach((place, i) => {
        const frequency = weights[i]!;
        const norm = k1 * (1 - b + (b * lengths[place]!) / meanLength);
        weights[i] = (idf * frequency * (k1 + 1)) / (frequency + norm);
      });
    }
  }

  /** Puts a passage's word counts into the postings and returns its length. */
  #count(passage: Passage, place: number, titleWeight: number): number {
    let length = 0;
    const add = (text: string, weight: number) => {
      if (weight === 0) return;
      for (const word of searchWords(text)) {
        length += weight;
        let posting = this.#postings.get(word);
        if (!posting) {
          posting = { places: [], weights: [] };
          this.#postings.set(word, posting);
        }
        const last = posting.places.length - 1;
        if (posting.places[last] === place) posting.weights[last]! += weight;
        else {
          posting.places.push(place);
          posting.weights.push(weight);
        }
      }
    };
    add(passage.title, titleWeight);
    add(passage.text, 1);
    return length;
  }

  get size(): number {
    return this.#passages.length;
  }

  /** The best passages that share a word with the query; equal scores in the order of the list. */
  search(query: string, limit = 10): readonly SearchHit<P>[] {
    const scores = this.#scores;
    const touched: number[] = [];
    for (const word of searchWords(query)) {
      const posting = this.#postings.get(word);
      if (!posting) continue;
      for (let i = 0; i < posting.places.length; i++) {
        const place = posting.places[i]!;
        if (scores[place] === 0) touched.push(place);
        scores[place]! += posting.weights[i]!;
      }
    }
    const best = touched
      .sort((left, right) => scores[right]! - scores[left]! || left - right)
      .slice(0, limit)
      .map((index) => ({ passage: this.#passages[index]!, score: scores[index]!, index }));
    for (const place of touched) scores[place] = 0;
    return best;
  }
}
