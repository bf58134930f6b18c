/**
 * @file Episodes that branch: M whole episodes of each task first, then branches, which replay an episode up to one of its
 * calls and sample that call anew, with all that follows. Calls before the branch point are shared and cost nothing.
 *
 *   at: "drawn"  L rounds of N branches a tree, their places drawn evenly, with replacement, from all calls of the tree
 *                (of those that are shared, once): Tree-GRPO. Episodes a task = M (1 + L N).
 *   at: "every"  N − 1 branches at each call of the named agents in the first M episodes: C-3PO's stochastic expansion,
 *                TreeRPO's sibling sets.
 *
 * Source: Tree-GRPO (arXiv 2509.21240), official code, M = 2, N = 2, L = 1; C-3PO (2502.06205), n = 2; TreeRPO
 * (2506.05183). A turn of an agent's chain there is a call of any agent here (CHOSEN for teams).
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { RewardedGroup, SamplingRequest, SamplingView } from "../method.ts";
import type { SamplerPart } from "../parts.ts";

export interface BranchingSettings {
  /** M: episodes per task that begin at the task. Default 2 (Tree-GRPO). */
  readonly groupSize?: number;
  /** N: branches a tree and round ("drawn"), or samples of each call ("every"). Default 2. */
  readonly branches?: number;
  /** L, for "drawn". Default 1 (Tree-GRPO). */
  readonly rounds?: number;
  /** Default "drawn". */
  readonly at?: "drawn" | "every";
  /** Whose calls are sampled anew. Default: every agent's. */
  readonly agents?: readonly string[];
}

export function branching(given: BranchingSettings = {}): SamplerPart & { readonly samples: "tree" } {
  const { groupSize = 2, branches = 2, rounds = 1, at = "drawn", agents } = given;
  for (const [name, value] of Object.entries({ groupSize, branches, rounds })) {
    if (!Number.isInteger(value) || value < 1)
      throw wrongSetting("branching", name, value, "an integer of at least 1");
  }
  if (at !== "drawn" && at !== "every") throw wrongSetting("branching", "at", at, '"drawn" or "every"');
  if (agents?.length === 0) throw wrongSetting("branching", "agents", agents, "a list of at least one agent");
  const includes = (agent: string) => agents === undefined || agents.includes(agent);
  const next = (view: SamplingView): readonly SamplingRequest[] => {
    if (view.wave > (at === "drawn" ? rounds : 1)) return [];
    return view.groups.flatMap((group, index) =>
      at === "drawn"
        ? drawnPlaces(group, branches, includes, view).map((place) => ({ ...place, group: index }))
        : everyPlace(group, branches, includes).map((place) => ({ ...place, group: index })),
    );
  };
  return Object.freeze({
    stage: "sampler",
    name: "branching",
    samples: "tree",
    groupSize,
    settings: { groupSize, branches, rounds, at, ...(agents === undefined ? {} : { agents }) },
    next,
  } satisfies SamplerPart);
}

interface Place {
  readonly kind: "branch";
  readonly episode: number;
  readonly at: number;
}

/** Where an episode and those that branched off it can be branched off: each call that was sampled, once. */
function placesByTree(
  { episodes }: RewardedGroup,
  includes: (agent: string) => boolean,
): Map<string, Place[]> {
  const trees = new Map<string, Place[]>();
  const seen = new Set<string>();
  episodes.forEach(({ id = "", calls, recalled }, episode) => {
    if (recalled === true) return;
    const tree = id === "" ? String(episode) : id.split("@")[0]!;
    const places = trees.get(tree) ?? [];
    trees.set(tree, places);
    const nodes = calls.map(({ node }, at) => node ?? `${episode}#${at}`);
    calls.forEach(({ agent, id: call }, at) => {
      // A branch's own first call stands where the call that it replaces stood.
      const before = at === 0 ? tree : nodes[at - 1]!;
      const key = `${before} > ${agent}`;
      if (!includes(agent) || seen.has(nodes[at]!) || seen.has(key)) return;
      seen.add(nodes[at]!).add(key);
      places.push({ kind: "branch", episode, at: call ?? at });
    });
  });
  return trees;
}

function drawnPlaces(
  group: RewardedGroup,
  branches: number,
  includes: (agent: string) => boolean,
  { random }: SamplingView,
): Place[] {
  return [...placesByTree(group, includes).values()].flatMap((places) =>
    places.length === 0 ? [] : Array.from({ length: branches }, () => places[random.integer(places.length)]!),
  );
}

function everyPlace(group: RewardedGroup, samples: number, includes: (agent: string) => boolean): Place[] {
  return [...placesByTree(group, includes).values()].flatMap((places) =>
    places.flatMap((place) => Array.from({ length: samples - 1 }, () => place)),
  );
}

export const branchingCard: MethodCard = {
  name: "branching",
  title: "Branching episodes",
  stage: "sampler",
  line: "episodes that branch at their calls: siblings share what came before, so credit can be told apart",
  use: 'import { branching } from "troupe/methods"',
  formula: [
    'at "drawn": M episodes a task, then L rounds of N branches a tree at calls drawn evenly: M (1 + L N) episodes',
    'at "every": M episodes a task, then N − 1 branches at each of their calls',
  ],
  defaults: {
    groupSize: { value: 2, source: "Tree-GRPO, official code" },
    branches: { value: 2, source: "Tree-GRPO, official code; C-3PO" },
    rounds: { value: 1, source: "Tree-GRPO, official code" },
    at: { value: "drawn", source: "Tree-GRPO" },
  },
  source: "Tree-GRPO (arXiv 2509.21240); C-3PO (2502.06205); TreeRPO (2506.05183)",
  notes: ["CHOSEN: a call of any agent is a place to branch"],
};
