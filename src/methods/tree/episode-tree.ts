/**
 * @file The tree under the episodes of a group that branch off one another: each call that was sampled once is one node,
 * whichever episodes it is in. Its parent is the call before it in its episode.
 */

import type { RewardedGroup } from "../method.ts";
import type { OutcomeTree } from "./tree-mean.ts";

export interface EpisodeTree extends OutcomeTree {
  /** [G][calls] which node a call is. */
  readonly nodes: readonly Int32Array[];
  /** [G][calls] 1 = the first episode that has the node: the one to train it in. */
  readonly first: readonly Uint8Array[];
  /** [G] what episodes that began at the task together have in common: the name of the one that others branched off. */
  readonly trees: readonly string[];
}

/** @param outcomes [G] the worth of each episode. */
export function episodeTree(
  { episodes }: Pick<RewardedGroup, "episodes">,
  worths: ArrayLike<number>,
): EpisodeTree {
  const numbers = new Map<string, number>();
  const parents: number[] = [];
  const outcomes: number[][] = [];
  const first = episodes.map(({ calls }) => new Uint8Array(calls.length));
  const nodes = episodes.map(({ calls }, i) => {
    let above = -1;
    return Int32Array.from(calls, ({ node = `${i}#${above}` }, j) => {
      let number = numbers.get(node);
      if (number === undefined) {
        number = parents.length;
        numbers.set(node, number);
        parents.push(above);
        outcomes.push([]);
        first[i]![j] = 1;
      }
      if (j === calls.length - 1) outcomes[number]!.push(worths[i]!);
      above = number;
      return number;
    });
  });
  const trees = episodes.map(({ id = "" }, i) => (id === "" ? String(i) : id.split("@")[0]!));
  return { parents, outcomes, nodes, first, trees };
}
