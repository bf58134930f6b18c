/**
 * @file Tree-consistent reward shaping of MARS², for groups that are search trees. A node v is an episode, its parent p the
 * episode that it grew from:
 *
 *   r̂_v = r_v + γ (r_v − b_v),   b_v = (1 − λ) r_p + λ · mean of r over the siblings of v
 *   a call that v made itself is worth r̂_v + what it was rewarded with by itself + its overlong penalty
 *
 * Shaping sees raw rewards of whole episodes alone; penalties of single calls come after it, as in the public code. A call
 * is trained once: in the node that made it, and not in those that grew from it. Where that node is not in the group (a
 * reward term failed on it) the call is worth the mean of the topmost that have it. In a group that is no tree all episodes
 * are children of the root, and calls that they share are trained in each, as under broadcast.
 *
 * Source: MARS² (arXiv 2604.14564), as its readers note it; edge rules and γ = λ = .5 from the public code's class
 * defaults (its function's own are γ .3; the papers' are UNVERIFIED). The published code shapes nothing: its workflow never
 * writes who the parent is. Overlong penalty: DAPO (2503.14476), in the form of that code (2048 of 32,768 tokens).
 */

import type { MethodCard } from "../card.ts";
import { LossError, wrongSetting } from "../errors.ts";
import type { RewardedCall, RewardedEpisode } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { CreditAssigner } from "../parts.ts";
import type { JudgedNodes } from "../tree/judged-nodes.ts";
import { shapedRewards } from "../tree/tree-shaping.ts";

export interface TreeShapingSettings {
  /** γ ≥ 0. Default 0.5; 0 leaves rewards as they are. */
  readonly gamma?: number;
  /** λ in [0, 1]. Default 0.5. */
  readonly lambda?: number;
  /** "inPlace": a parent's reward is its shaped one, as the public code would compute it. Default "raw" (paper). */
  readonly form?: "raw" | "inPlace";
  /** A call of more than `maxTokens − buffer` tokens loses up to `factor` (default 1). Default: no penalty. */
  readonly overlong?: Overlong | undefined;
}

export interface Overlong {
  readonly maxTokens: number;
  readonly buffer: number;
  readonly factor?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function treeShaping(given: TreeShapingSettings = {}): CreditAssigner & { readonly wants?: never } {
  const { gamma = 0.5, lambda = 0.5, form = "raw", overlong } = given;
  checkNumber("treeShaping", "gamma", gamma, { least: 0 });
  checkNumber("treeShaping", "lambda", lambda, { least: 0, most: 1 });
  if (form !== "raw" && form !== "inPlace")
    throw wrongSetting("treeShaping", "form", form, '"raw" or "inPlace"');
  if (overlong !== undefined) {
    checkNumber("treeShaping", "overlong.maxTokens", overlong.maxTokens, { above: 0 });
    checkNumber("treeShaping", "overlong.buffer", overlong.buffer, { above: 0, most: overlong.maxTokens });
    checkNumber("treeShaping", "overlong.factor", overlong.factor ?? 1, { least: 0 });
  }
  return Object.freeze({
    stage: "credit",
    name: "tree-shaping",
    settings: { gamma, lambda, form, ...(overlong === undefined ? {} : { overlong }) },
    assign: ({ episodes }): Omit<JudgedNodes, "group"> => {
      const parents = episodes.map(parentOf);
      const shaped = shapedRewards(
        parents,
        episodes.map(({ reward }) => reward),
        { gamma, lambda, form },
      );
      const beside = episodes.map(({ calls, reward }) =>
        calls.map((call) => call.reward - reward + penalty(call, overlong)),
      );
      const nodesOf = episodes.map(({ calls }, i) => calls.map(({ node }, j) => node ?? `${i} ${j}`));
      const has = nodesOf.map((nodes) => new Set(nodes));
      const isOwn = nodesOf.map((nodes, i) => nodes.map((node) => has[parents[i]!]?.has(node) !== true));
      // Only a tree says whose a shared call is; else each episode has all its calls, as under broadcast.
      const isTree = episodes.some(({ parent }) => parent !== undefined);
      /** Of each call that was sampled: the episodes that have it and whose parents have not, and what it is worth there. */
      const topmost = new Map<string, { readonly episode: number; readonly worth: number }[]>();
      for (const [i, nodes] of nodesOf.entries()) {
        for (const [j, node] of nodes.entries()) {
          if (!isOwn[i]![j]!) continue;
          topmost.set(node, [
            ...(topmost.get(node) ?? []),
            { episode: i, worth: shaped[i]! + beside[i]![j]! },
          ]);
        }
      }
      const worth = (node: string) => meanOf(topmost.get(node)!.map((one) => one.worth));
      const own = beside.map((extras, i) => extras.filter((_, j) => isOwn[i]![j]!));
      return {
        values: nodesOf.map((nodes, i) =>
          Float64Array.from(nodes, (node, j) => (isTree ? worth(node) : shaped[i]! + beside[i]![j]!)),
        ),
        trained: nodesOf.map((nodes, i) =>
          Uint8Array.from(nodes, (node, j) => {
            const here = !isTree || topmost.get(node)![0]!.episode === i;
            return here && episodes[i]!.calls[j]!.frozen !== true ? 1 : 0;
          }),
        ),
        nodes: Float64Array.from(
          shaped,
          (reward, i) => reward + (own[i]!.length === 0 ? 0 : meanOf(own[i]!)),
        ),
      };
    },
  } satisfies CreditAssigner);
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function penalty({ length = 0 }: RewardedCall, overlong: Overlong | undefined): number {
  if (overlong === undefined) return 0;
  const { maxTokens, buffer, factor = 1 } = overlong;
  const excess = Math.min(length - (maxTokens - buffer), buffer);
  return excess > 0 ? (-excess / buffer) * factor : 0;
}

function parentOf({ parent = -1, id }: RewardedEpisode, place: number): number {
  if (Number.isInteger(parent) && parent >= -1 && parent < place) return parent;
  throw new LossError({
    code: "E_TREE_PARENT",
    message: `Episode ${id ?? place}, at place ${place} of its group, has its parent at place ${parent}; a parent stands before its children.`,
    hint: "give the place of the episode that it grew from, or −1 for a child of the root.",
    facts: { place, parent },
  });
}

export const treeShapingCard: MethodCard = {
  name: "tree-shaping",
  title: "Tree-consistent reward shaping",
  stage: "credit",
  line: "a node of a search tree is worth more than its reward where it beats its parent and its siblings",
  use: 'import { treeShaping } from "troupe/methods"',
  formula: [
    "r̂_v = r_v + γ (r_v − b_v),   b_v = (1 − λ) r_parent + λ · mean of r over the siblings",
    "calls that v made itself are worth r̂_v, plus their own rewards and overlong penalties",
  ],
  defaults: {
    gamma: { value: 0.5, source: "public code, class default; the papers' is UNVERIFIED" },
    lambda: { value: 0.5, source: "public code; the papers' is UNVERIFIED" },
    form: { value: "raw", source: "paper, as its readers note it" },
  },
  source: "MARS² (arXiv 2604.14564), public code",
  notes: [
    "UNVERIFIED: γ and λ of the papers",
    "CHOSEN: what a call is rewarded with by itself counts for it alone, after shaping",
    'the published code shapes nothing; `form: "inPlace"` is what it would compute if it knew the parents',
  ],
};
