/**
 * @file Exact match and token F1 between an answer and its gold answers, after normalisation: lower case, punctuation
 * and English articles removed, white space collapsed; F1 over the multisets of the words left.
 * Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016), §6.1, and its
 * evaluation script. Changed: Unicode compatibility forms are unified first (NFKC), and "punctuation" is every
 * Unicode punctuation mark or symbol, not only the ASCII ones, so that «euro» and “euro” both equal euro.
 */

const articles: ReadonlySet<string> = new Set(["a", "an", "the"]);

/** The text that answers are compared in. */
export function normaliseAnswer(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\p{P}\p{S}]/gu, "")
    .split(/\s+/u)
    .filter((word) => word !== "" && !articles.has(word))
    .join(" ");
}

const words = (text: string): readonly string[] => {
  const normalised = normaliseAnswer(text);
  return normalised === "" ? [] : normalised.split(" ");
};

function bestOver(
  answer: string,
  gold: string | readonly string[],
  score: (answer: string, gold: string) => number,
): number {
  const references = typeof gold === "string" ? [gold] : gold;
  if (references.length === 0)
    throw new RangeError("An answer cannot be scored against an empty list of gold answers.");
  return Math.max(...references.map((reference) => score(answer, reference)));
}

/** 1 if the normalised texts are equal, else 0; the best over several gold answers. */
export function exactMatch(answer: string, gold: string | readonly string[]): number {
  return bestOver(answer, gold, (left, right) => (normaliseAnswer(left) === normaliseAnswer(right) ? 1 : 0));
}

/** Harmonic mean of word precision and recall; the best over several gold answers. Two empty texts are equal: 1. */
export function tokenF1(answer: string, gold: string | readonly string[]): number {
  return bestOver(answer, gold, (left, right) => {
    const answerWords = words(left);
    const goldWords = words(right);
    if (answerWords.length === 0 || goldWords.length === 0)
      return answerWords.length === goldWords.length ? 1 : 0;
    const remaining = new Map<string, number>();
    for (const word of goldWords) remaining.set(word, (remaining.get(word) ?? 0) + 1);
    let common = 0;
    for (const word of answerWords) {
      const count = remaining.get(word) ?? 0;
      if (count > 0) {
        common++;
        remaining.set(word, count - 1);
      }
    }
    return (2 * common) / (answerWords.length + goldWords.length);
  });
}
