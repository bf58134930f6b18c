/**
 * @file pass@k: the chance that at least one of k episodes of a task succeeds. Source: Chen et al., "Evaluating Large
 * Language Models Trained on Code" (2021, arXiv 2107.03374), equation 1 and figure 3: of n episodes c succeeded,
 *
 *   pass@k = 1 − C(n − c, k) / C(n, k) = 1 − ∏_{i = n−c+1..n} (1 − k / i)
 *
 * which is unbiased; 1 − (1 − c/n)^k is not.
 */

/**
 * @param episodes n ≥ k
 * @param successes c, from 0 to n
 * @throws RangeError if fewer than k episodes were run: there is no unbiased estimate then.
 */
export function passAt(k: number, episodes: number, successes: number): number {
  if (!Number.isInteger(k) || k < 1 || k > episodes || successes < 0 || successes > episodes)
    throw new RangeError(`pass@${k} of ${successes} successes in ${episodes} episodes is not defined.`);
  if (episodes - successes < k) return 1;
  let none = 1;
  for (let i = episodes - successes + 1; i <= episodes; i++) none *= 1 - k / i;
  return 1 - none;
}
