/**
 * @file Tree-consistent reward shaping of MARS² (arXiv 2604.14564; constants from the public code). For a node v with
 * parent p and siblings Sib(v):
 *
 *   b(v) = (1 − λ)·r_p + λ·mean over Sib(v) of r,   r̂_v = r_v + γ·(r_v − b(v))
 *
 * Under the root b is the siblings' mean; without siblings b = r_p; with neither, r̂ = r. The papers' γ and λ are
 * UNVERIFIED; the defaults are the code's class defaults (its function's own are γ .3, λ .5).
 */

export interface TreeShaping {
  /** Default 0.5. 0 leaves rewards as they are. */
  readonly gamma?: number;
  /** Default 0.5. 0 looks at the parent alone (where there is one). */
  readonly lambda?: number;
  /**
   * "raw": r is the raw reward everywhere (the formula). "inPlace": a parent's reward is its already shaped one, as the
   * public code would compute it, so that shaping compounds with depth. Default "raw".
   */
  readonly form?: "raw" | "inPlace";
}

/**
 * @param parents [n] position of each node's parent, smaller than its own; −1 = root. See `completeNodes`.
 * @param rewards [n] raw
 * @returns [n] shaped rewards
 */
export function shapedRewards(
  parents: readonly number[],
  rewards: readonly number[],
  { gamma = 0.5, lambda = 0.5, form = "raw" }: TreeShaping = {},
): number[] {
  // Sums over siblings, by parent + 1.
  const sums = new Float64Array(parents.length + 1);
  const counts = new Int32Array(parents.length + 1);
  parents.forEach((parent, node) => {
    sums[parent + 1]! += rewards[node]!;
    counts[parent + 1]! += 1;
  });
  const shaped: number[] = [];
  parents.forEach((parent, node) => {
    const reward = rewards[node]!;
    const siblings = counts[parent + 1]! - 1;
    const beside = siblings === 0 ? undefined : (sums[parent + 1]! - reward) / siblings;
    const above = parent < 0 ? undefined : form === "raw" ? rewards[parent]! : shaped[parent]!;
    const baseline =
      above === undefined ? beside : beside === undefined ? above : (1 - lambda) * above + lambda * beside;
    shaped.push(baseline === undefined ? reward : reward + gamma * (reward - baseline));
  });
  return shaped;
}
