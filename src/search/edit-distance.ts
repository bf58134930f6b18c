/** @file Levenshtein distance, only as far as a limit: chats are compared pairwise, and most pairs are far apart. */

/** True if at most `limit` insertions, deletions and substitutions (of UTF-16 units) turn one text into the other. */
export function withinEdits(left: string, right: string, limit: number): boolean {
  const bound = Math.floor(limit);
  if (bound < 0 || Math.abs(left.length - right.length) > bound) return false;
  // Only cells within `bound` of the diagonal can be within the limit.
  const far = bound + 1;
  let previous = Array.from({ length: right.length + 1 }, (_, j) => Math.min(j, far));
  for (let i = 1; i <= left.length; i++) {
    const row = new Array<number>(right.length + 1).fill(far);
    if (i <= bound) row[0] = i;
    const from = Math.max(1, i - bound);
    const to = Math.min(right.length, i + bound);
    let least = row[0]!;
    for (let j = from; j <= to; j++) {
      const substituted = previous[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      const cell = Math.min(substituted, previous[j]! + 1, row[j - 1]! + 1, far);
      row[j] = cell;
      if (cell < least) least = cell;
    }
    if (least > bound) return false;
    previous = row;
  }
  return previous[right.length]! <= bound;
}

/** distance / (length of the longer + 1) < share, as Optima's code has it. */
export function similar(left: string, right: string, share: number): boolean {
  const limit = share * (Math.max(left.length, right.length) + 1);
  // The comparison is strict.
  return withinEdits(left, right, Math.ceil(limit) - 1);
}
