/**
 * @file A score on a scale whose marks are known examples: the judge only says better, tie or worse than each, and how sure
 * it is; the score is the one that explains these answers best.
 * Source: Idea2Story (arXiv 2601.20833), Idea2Paper's code: p = 0.5 ± 0.45 c; S = argmin over [1, 10] of
 * Σ w_i (σ(1.2 (S − s_i)) − p_i)², w = log(1 + n) / (1 + spread).
 */

export interface AnchorVerdict {
  /** s_i, the anchor's own score. */
  readonly anchor: number;
  /** The candidate against the anchor. */
  readonly verdict: "better" | "tie" | "worse";
  /** c in [0, 1]; of a tie it is ignored. */
  readonly confidence: number;
  /** w_i. Default 1. */
  readonly weight?: number;
}

/** w of an anchor whose score is the mean of `count` ratings with this spread. */
export const anchorWeight = (count: number, spread: number): number => Math.log(1 + count) / (1 + spread);

const slope = 1.2;

/** S in [from, to], to 1e-6. The sum need not have one valley only, so a grid comes before the refinement. */
export function anchoredScore(verdicts: readonly AnchorVerdict[], { from = 1, to = 10 } = {}): number {
  if (verdicts.length === 0) throw new RangeError("A score needs at least one verdict against an anchor.");
  const targets = verdicts.map(({ anchor, verdict, confidence, weight = 1 }) => {
    if (!(confidence >= 0 && confidence <= 1))
      throw new RangeError(`The confidence of a verdict is ${confidence}, not between 0 and 1.`);
    const side = verdict === "better" ? 1 : verdict === "worse" ? -1 : 0;
    return { anchor, weight, target: 0.5 + side * 0.45 * confidence };
  });
  const loss = (score: number) =>
    targets.reduce(
      (sum, { anchor, weight, target }) =>
        sum + weight * (1 / (1 + Math.exp(-slope * (score - anchor))) - target) ** 2,
      0,
    );
  let low = from;
  let high = to;
  for (let width = to - from; width > 1e-6; width = high - low) {
    const points = Array.from({ length: 91 }, (_, i) => low + (i * width) / 90);
    const losses = points.map(loss);
    const best = losses.indexOf(Math.min(...losses));
    low = points[Math.max(0, best - 1)]!;
    high = points[Math.min(90, best + 1)]!;
  }
  return (low + high) / 2;
}
