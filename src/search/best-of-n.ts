/** @file Best of n: the tree whose every node is a fresh sample under the root. */

import type { SearchPlan } from "./search.ts";
import { root } from "./tree.ts";

/** Selection for `search`; choose the winner with `selectNode`. */
export function bestOfN<State>(nodes: number): SearchPlan<State, { readonly at: 0 }> {
  return { nodes, select: () => ({ parent: root, action: { at: 0 } }) };
}
