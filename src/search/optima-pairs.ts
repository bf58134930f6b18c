/**
 * @file Optima (arXiv 2410.08115; rules read in the public code): a search over the turns of a chat that finds pairs of
 * utterances with the same context and different worth, for DPO.
 *
 * Each iteration chooses one turn, or the root, and goes on from it to an end three times. Eligible are the root and
 * turns whose first child has children; out are those within 25 % edit distance of one chosen before (so the root is
 * chosen first, and again when nothing else is left). Of the ten best by value one is drawn by softmax. A turn's value is
 * the mean of the outcomes below it; siblings within 10 % edit distance are one.
 */

import { leafMeans } from "../methods/tree/tree-mean.ts";
import { similar } from "./edit-distance.ts";
import type { Choice, SearchPlan, SelectContext } from "./search.ts";
import { root, type TreeView } from "./tree.ts";
import { type BranchAction, mergeSiblings, type Turn, type TurnTree, turnTree } from "./turn-tree.ts";

export interface ChatTurns<State> {
  /** How many turns a chain has. Of an episode: `episodeTurns`. */
  readonly turns: (state: State) => number;
  readonly text: (state: State, turn: number) => string;
  /** Siblings that differ by less are one. Default 0.1; 0 merges none but equal ones. */
  readonly mergeWithin?: number;
}

export interface OptimaOptions<State> extends ChatTurns<State> {
  /** Default 8. */
  readonly iterations?: number;
  /** Default 3. */
  readonly expansions?: number;
  /** Default 0.25. */
  readonly excludeWithin?: number;
  /** Turns among which the softmax draws. Default 10. */
  readonly best?: number;
}

/** Selection for `search`. An iteration begins when the one before has ended; its expansions may run at once. */
export function optima<State>(options: OptimaOptions<State>): SearchPlan<State, BranchAction> {
  const { iterations = 8, expansions = 3 } = options;
  return {
    nodes: iterations * expansions,
    select: (tree, context) => {
      const within = context.index % expansions;
      if (within > 0) {
        const { parent, action } = tree.nodes[context.index - within]!;
        return { parent, action };
      }
      if (tree.pending > 0) return undefined;
      return chooseTurn(tree, context, options);
    },
  };
}

function chooseTurn<State>(
  tree: TreeView<State, BranchAction>,
  { index, random }: SelectContext,
  options: OptimaOptions<State>,
): Choice<BranchAction> {
  const { expansions = 3, excludeWithin = 0.25, best = 10 } = options;
  const chat = chatTree(tree, options);
  const textOf = textsIn(tree, options);
  // The root is chosen first, so it is out from then on.
  if (index === 0) return { parent: root, action: { at: 0 } };
  const chosen: string[] = [];
  for (let first = 0; first < index; first += expansions) {
    const { parent, action } = tree.nodes[first]!;
    if (parent !== root) chosen.push(textOf({ node: parent, turn: action.at - 1 }));
  }
  const { values } = leafMeans(chat);
  const eligible = chat.turns
    .map((turn, i) => ({ turn, value: values[i]!, children: chat.children[i]! }))
    .filter(({ children }) => children.length > 0 && chat.children[children[0]!]!.length > 0)
    .filter(({ turn }) => !chosen.some((text) => similar(textOf(turn), text, excludeWithin)))
    .sort((left, right) => right.value - left.value)
    .slice(0, best);
  const highest = eligible[0]?.value ?? 0;
  const weights = eligible.map(({ value }) => Math.exp(value - highest));
  const drawn = eligible[drawnFrom(weights, random.uniform())];
  if (drawn === undefined) return { parent: root, action: { at: 0 } };
  return { parent: drawn.turn.node, action: { at: drawn.turn.turn + 1 } };
}

/** The place that a uniform number in [0, 1) falls on, among weights that need not sum to 1. */
function drawnFrom(weights: readonly number[], uniform: number): number {
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}

/** The turn tree of a chat, near-duplicates merged. */
export function chatTree<State>(tree: TreeView<State, BranchAction>, options: ChatTurns<State>): TurnTree {
  const textOf = textsIn(tree, options);
  const { mergeWithin = 0.1 } = options;
  return mergeSiblings(
    turnTree(tree, options),
    (kept, other) => textOf(kept) === textOf(other) || similar(textOf(kept), textOf(other), mergeWithin),
  );
}

function textsIn<State>(tree: TreeView<State, BranchAction>, { text }: ChatTurns<State>) {
  return ({ node, turn }: Turn): string => {
    const found = tree.nodes[node];
    return found?.status === "complete" ? text(found.state, turn) : "";
  };
}

export interface TurnPair {
  /** The turn after which both were said; undefined = the beginning. */
  readonly after: Turn | undefined;
  readonly chosen: Turn;
  readonly rejected: Turn;
  readonly chosenValue: number;
  readonly rejectedValue: number;
}

export interface MineOptions {
  /** The better one is worth more than this. Default 0.4 (config; the class default is 0.15). */
  readonly leastValue?: number;
  /** And more than this above the worse one. Default 0.2 (config; the class default is 0.3). */
  readonly leastGap?: number;
  /** Share of a tree's pairs that is kept, best first; of one pair nothing is dropped. Default 0.5. */
  readonly keep?: number;
}

/**
 * After each turn that was answered in several ways: the best and the worst answer, if they differ enough.
 *
 * @returns by falling value of the better one.
 */
export function minePairs(
  tree: TurnTree,
  { leastValue = 0.4, leastGap = 0.2, keep = 0.5 }: MineOptions = {},
): TurnPair[] {
  const { values } = leafMeans(tree);
  const families = [
    { after: undefined, children: tree.rootChildren },
    ...tree.turns.map((turn, i) => ({ after: turn, children: tree.children[i]! })),
  ];
  const pairs = families.flatMap(({ after, children }): TurnPair[] => {
    if (children.length < 2) return [];
    const high = children.reduce((best, child) => (values[child]! > values[best]! ? child : best));
    const low = children.reduce((worst, child) => (values[child]! < values[worst]! ? child : worst));
    const chosenValue = values[high]!;
    const rejectedValue = values[low]!;
    if (!(chosenValue > leastValue && chosenValue - rejectedValue > leastGap)) return [];
    return [{ after, chosen: tree.turns[high]!, rejected: tree.turns[low]!, chosenValue, rejectedValue }];
  });
  pairs.sort((left, right) => right.chosenValue - left.chosenValue);
  return pairs.length < 2 ? pairs : pairs.slice(0, Math.floor(keep * pairs.length));
}
