/**
 * @file Advantages of Tree-GRPO (arXiv 2509.21240, official code): a leaf's trajectory is compared with all leaves of the
 * prompt (inter-tree) and with the leaves of its own tree (intra-tree). Shared prefix tokens appear once per leaf and
 * receive each leaf's advantage: there is no deduplication, so their effective advantage is the sum.
 */

import { type Standardisation, standardised, standardisedWithin } from "./standardise.ts";

export interface TreeGrpoAdvantage extends Partial<Standardisation> {
  /** "sum": inter + intra. "nested": within the tree, of the inter-tree values (the code's `2norm`). Default "sum". */
  readonly form?: "sum" | "nested";
}

/**
 * Defaults: sample deviation (ddof 1), ε 1e-6 (verl's), and 0 for a tree of one leaf (verl's own rule would be "raw").
 *
 * @param trees [n] which tree each leaf is of
 * @param rewards [n] of the leaves of one prompt
 * @returns [n]
 */
export function treeGrpoAdvantages(
  trees: readonly (string | number)[],
  rewards: readonly number[],
  { form = "sum", ddof = 1, epsilon = 1e-6, single = "zero" }: TreeGrpoAdvantage = {},
): number[] {
  const settings = { ddof, epsilon, single };
  const inter = standardised(rewards, settings);
  if (form === "nested") return standardisedWithin(inter, trees, settings);
  const intra = standardisedWithin(rewards, trees, settings);
  return inter.map((value, i) => value + intra[i]!);
}
