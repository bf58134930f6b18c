/**
 * @file Pairs of calls with the same context and different worth, for preference losses,
 *
 *   siblings: calls that were asked exactly the same;   chosen: the best, rejected: the worst,
 *   if the best is worth more than `least` and the two differ by more than `gap`
 *
 *   by "node"   calls that branch off the same call; worth: the mean reward of the episodes that go through them (Optima)
 *   by "state"  calls of an agent with the same prompt; worth: what the call is rewarded with, such as a critic's score
 *               of it (CollabUIAgents: cells of an action matrix)
 *
 * With `share` only that part of a group's pairs is kept whose best is worth the most. Ties: the first.
 *
 * Source: Optima (arXiv 2410.08115) and its code: least 0.4, gap 0.2, the better half; CollabUIAgents (2502.14496), whose
 * rejected cell may also come from an adversarial agent, which is left to the workflow here.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { episodeTree } from "../tree/episode-tree.ts";
import { leafMeans } from "../tree/tree-mean.ts";

export interface SiblingPairsSettings {
  /** Default "node". */
  readonly by?: "node" | "state";
  /** The best must be worth more. Default 0.4 (Optima). */
  readonly least?: number;
  /** The best and the worst must differ by more. Default 0.2 (Optima). */
  readonly gap?: number;
  /** Of the pairs, the share that is kept, rounded up. Default 0.5 (Optima). */
  readonly share?: number;
}

interface Member {
  readonly episode: number;
  readonly call: number;
  readonly worth: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function siblingPairs(
  given: SiblingPairsSettings = {},
): AdvantagePart & { readonly compares: "episodes"; readonly gives: "pairs" } {
  const settings: Required<SiblingPairsSettings> = { by: "node", least: 0.4, gap: 0.2, share: 0.5, ...given };
  if (settings.by !== "node" && settings.by !== "state")
    throw wrongSetting("siblingPairs", "by", settings.by, '"node" or "state"');
  checkNumber("siblingPairs", "least", settings.least);
  checkNumber("siblingPairs", "gap", settings.gap, { least: 0 });
  checkNumber("siblingPairs", "share", settings.share, { above: 0, most: 1 });
  return Object.freeze({
    stage: "advantage",
    name: "sibling-pairs",
    compares: "episodes",
    gives: "pairs",
    settings,
    advantages: (groups) => groups.map((judged) => ofGroup(judged, settings)),
  } satisfies AdvantagePart);
}

function ofGroup(
  judged: JudgedGroup,
  { by, least, gap, share }: Required<SiblingPairsSettings>,
): GroupAdvantages {
  const { group, values } = judged;
  const pairs = [...(by === "node" ? byNode(judged) : byState(judged))]
    .flatMap(([name, members]) => {
      const best = members.reduce((one, other) => (other.worth > one.worth ? other : one));
      const worst = members.reduce((one, other) => (other.worth < one.worth ? other : one));
      return best.worth > least && best.worth - worst.worth > gap ? [{ name, best, worst }] : [];
    })
    .sort((left, right) => right.best.worth - left.best.worth);
  const advantages = values.map((row) => new Float64Array(row.length));
  const trained = values.map((row) => new Uint8Array(row.length));
  const links = values.map((row) => new Array<string | undefined>(row.length).fill(undefined));
  for (const { name, best, worst } of pairs.slice(0, Math.ceil(share * pairs.length))) {
    for (const [{ episode, call }, sign] of [
      [best, 1],
      [worst, -1],
    ] as const) {
      advantages[episode]![call] = sign;
      trained[episode]![call] = 1;
      links[episode]![call] = `${group.task}/${name}`;
    }
  }
  return { advantages, trained, links, hasSignal: pairs.length > 0 };
}

/** Calls that follow the same call, each once. */
function byNode({ group, values }: JudgedGroup): Map<string, Member[]> {
  const worths = values.map((row, i) => row.at(-1) ?? group.episodes[i]!.reward);
  const tree = episodeTree(group, worths);
  const means = leafMeans(tree).values;
  const families = new Map<string, Member[]>();
  tree.nodes.forEach((row, episode) => {
    row.forEach((node, call) => {
      const { agent, length } = group.episodes[episode]!.calls[call]!;
      if (tree.first[episode]![call] === 0 || length === 0) return;
      const name = JSON.stringify([tree.parents[node], agent]);
      const members = families.get(name) ?? [];
      families.set(name, members);
      members.push({ episode, call, worth: means[node]! });
    });
  });
  return families;
}

/** Calls of an agent that were asked the same; a shared one counts once, and one whose prompt is unknown not at all. */
function byState({ group, values }: JudgedGroup): Map<string, Member[]> {
  const families = new Map<string, Member[]>();
  const seen = new Set<string>();
  group.episodes.forEach(({ calls }, episode) => {
    calls.forEach(({ agent, state, node, length }, call) => {
      if (state === undefined || length === 0 || (node !== undefined && seen.has(node))) return;
      if (node !== undefined) seen.add(node);
      const name = JSON.stringify([agent, state]);
      const members = families.get(name) ?? [];
      families.set(name, members);
      members.push({ episode, call, worth: values[episode]![call]! });
    });
  });
  return families;
}

export const siblingPairsCard: MethodCard = {
  name: "sibling-pairs",
  title: "Sibling pairs",
  stage: "advantage",
  line: "pairs of calls with the same context and different worth, for preference losses",
  use: 'import { siblingPairs } from "troupe/methods"',
  formula: [
    "best against worst of the calls that were asked the same, if best > least and best − worst > gap",
  ],
  defaults: {
    by: { value: "node", source: "Optima" },
    least: { value: 0.4, source: "Optima, official code" },
    gap: { value: 0.2, source: "Optima, official code" },
    share: { value: 0.5, source: "Optima, official code" },
  },
  source: "Optima (arXiv 2410.08115); CollabUIAgents (2502.14496)",
};
