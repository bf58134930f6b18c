/**
 * @file Tokens that are cut out of text before anything else: special tokens and other added ones.
 * Follows `added_vocabulary.rs` of Hugging Face `tokenizers`: leftmost, then longest match; first those that match the
 * text as it is, then, in the normalised rest, those that match normalised text.
 */

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Matches only where no word character adjoins. */
  readonly singleWord: boolean;
  /** Takes the white space on its left or right with it. */
  readonly stripLeft: boolean;
  readonly stripRight: boolean;
  /** Matches in normalised text. */
  readonly normalized: boolean;
}

/** A piece of text, or an added token in its place. */
export type Section = string | AddedToken;

/** What Rust's `regex` calls \w and \s. */
const wordAtEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAtStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const spaceAtEnd = /\p{White_Space}+$/u;
const spaceAtStart = /^\p{White_Space}+/u;

/** Finds one set of added tokens in text. */
export class AddedTokenMatcher {
  readonly #pattern: RegExp | undefined;
  readonly #byContent: ReadonlyMap<string, AddedToken>;

  /** `contents[i]` is the text that stands for `tokens[i]`. */
  constructor(tokens: readonly AddedToken[], contents: readonly string[] = tokens.map((t) => t.content)) {
    this.#byContent = new Map(tokens.map((token, i) => [contents[i]!, token]));
    // Alternatives are tried in order, so the longest go first.
    const alternatives = [...this.#byContent.keys()]
      .filter((content) => content !== "")
      .toSorted((a, b) => b.length - a.length)
      .map((content) => content.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    this.#pattern = alternatives.length === 0 ? undefined : new RegExp(alternatives.join("|"), "gu");
  }

  /** Cuts the tokens out; pieces are not empty. */
  split(text: string): readonly Section[] {
    const pattern = this.#pattern;
    if (!pattern) return text === "" ? [] : [text];
    const sections: Section[] = [];
    let start = 0;
    // Not matchAll, which copies the pattern and has it compiled again for each text.
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
      const token = this.#byContent.get(match[0])!;
      let from = match.index;
      let to = from + match[0].length;
      if (from < start) continue;
      if (token.singleWord && (wordAtEnd.test(text.slice(0, from)) || wordAtStart.test(text.slice(to))))
        continue;
      if (token.stripLeft) from -= spaceAtEnd.exec(text.slice(start, from))?.[0].length ?? 0;
      if (token.stripRight) to += spaceAtStart.exec(text.slice(to))?.[0].length ?? 0;
      if (from > start) sections.push(text.slice(start, from));
      sections.push(token);
      start = to;
    }
    if (start < text.length) sections.push(text.slice(start));
    return sections;
  }
}
