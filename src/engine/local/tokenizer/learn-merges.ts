/**
 * @file The merges of byte-pair encoding. The most frequent pair is merged, ties go to the pair with the smaller ids, as
 * in the Rust trainer of Hugging Face `tokenizers`; counts are updated where a merge changes them, not taken anew.
 */

import { BpeTrainingError } from "./errors.ts";
import { PairQueue } from "./pair-queue.ts";

/**
 * Extends `vocabulary` up to `size`; returns the merges in order. `wordCounts`: words spelled with tokens of
 * `vocabulary`, one character each, and how often they occur.
 */
export function learnMerges(
  wordCounts: ReadonlyMap<string, number>,
  vocabulary: string[],
  size: number,
  minimumFrequency: number,
): (readonly [string, string])[] {
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const words: Int32Array[] = [];
  const counts: number[] = [];
  for (const [word, count] of wordCounts) {
    words.push(Int32Array.from(word, (character) => ids.get(character)!));
    counts.push(count);
  }

  // A pair (a, b) is the number a · size + b: ordered like the pair itself.
  const pairCounts = new Map<number, number>();
  const pairWords = new Map<number, Set<number>>();
  const see = (pair: number, word: number) => {
    const where = pairWords.get(pair);
    if (where) where.add(word);
    else pairWords.set(pair, new Set([word]));
  };
  words.forEach((word, index) => {
    for (let i = 0; i + 1 < word.length; i++) {
      const pair = word[i]! * size + word[i + 1]!;
      pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + counts[index]!);
      see(pair, index);
    }
  });
  const queue = new PairQueue();
  for (const [pair, count] of pairCounts) queue.push(pair, count);

  const merges: (readonly [string, string])[] = [];
  const changes = new Map<number, number>();
  while (vocabulary.length < size) {
    const pair = queue.popMostFrequent(pairCounts);
    const frequency = pair === undefined ? 0 : pairCounts.get(pair)!;
    if (pair === undefined || frequency < Math.max(1, minimumFrequency)) {
      throw new BpeTrainingError({
        code: "E_BPE_TOO_LITTLE_TEXT",
        message: `The text gives ${vocabulary.length} tokens of the ${size} asked for; no pair occurs ${minimumFrequency} times any more.`,
        hint: `give more text, or ask for at most ${vocabulary.length} tokens.`,
        facts: { reached: vocabulary.length, asked: size, differentWords: words.length },
      });
    }
    const left = Math.floor(pair / size);
    const right = pair % size;
    const merged = vocabulary[left]! + vocabulary[right]!;
    // Two ways to spell one token share its id.
    let id = ids.get(merged);
    if (id === undefined) {
      id = vocabulary.push(merged) - 1;
      ids.set(merged, id);
    }
    merges.push([vocabulary[left]!, vocabulary[right]!]);

    changes.clear();
    for (const index of pairWords.get(pair)!) {
      const change = (a: number, b: number, by: number) => {
        const changed = a * size + b;
        changes.set(changed, (changes.get(changed) ?? 0) + by * counts[index]!);
        if (by > 0) see(changed, index);
      };
      words[index] = mergeInWord(words[index]!, left, right, id, change);
    }
    pairCounts.delete(pair);
    pairWords.delete(pair);
    for (const [changed, by] of changes) {
      if (changed === pair || by === 0) continue;
      const count = (pairCounts.get(changed) ?? 0) + by;
      pairCounts.set(changed, count);
      // Smaller counts are corrected when they surface; larger ones must be seen now.
      if (by > 0) queue.push(changed, count);
    }
  }
  return merges;
}

/** Replaces each (left, right), from the left, by `id`, telling which pairs disappear and appear. In place. */
function mergeInWord(
  word: Int32Array,
  left: number,
  right: number,
  id: number,
  change: (a: number, b: number, by: number) => void,
): Int32Array {
  let length = 0;
  for (let i = 0; i < word.length; i++) {
    if (word[i] !== left || word[i + 1] !== right) {
      word[length++] = word[i]!;
      continue;
    }
    if (length > 0) {
      change(word[length - 1]!, left, -1);
      change(word[length - 1]!, id, 1);
    }
    if (i + 2 < word.length) {
      change(right, word[i + 2]!, -1);
      change(id, word[i + 2]!, 1);
    }
    word[length++] = id;
    i++;
  }
  return word.subarray(0, length);
}
