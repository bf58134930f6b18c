/**
 * @file The advantage of MARS²: a node of a search tree is compared with **all** nodes of its tree, of whichever policy and
 * depth,
 *
 *   Â_v = (r̂_v − mean) / (std + ε), std with n − 1, cut to ±10;   every token of the calls that v made itself gets it
 *
 * so that policies which share a tree are measured by one measure, and each trains on its own nodes. Nodes of policies that
 * are not trained, and nodes without a call, count in mean and std. A tree of one node, or of equal nodes, gives 0.
 *
 * Source: MARS² (arXiv 2604.14564) and its public code (`group_norm`, ε 1e-9, clip 10). Notes call it a "path-level group";
 * no sum over paths was found (UNVERIFIED). It takes the worth of nodes from `treeShaping()`; under another credit a node
 * is worth the mean of its calls.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import { checkNumber } from "../number-setting.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { nodeWorths } from "../tree/judged-nodes.ts";
import { treeScale } from "../tree/tree-advantage.ts";

export interface TreeNodesAdvantageSettings {
  /** Default 1: the sample's deviation (public code). */
  readonly ddof?: 0 | 1;
  /** ε. Default 1e-9 (public code). A deviation below 1e-6 gives 0. */
  readonly epsilon?: number;
  /** Default 10 (public code). */
  readonly clip?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function treeNodesAdvantage(given: TreeNodesAdvantageSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly gives: "advantages";
} {
  const settings: Required<TreeNodesAdvantageSettings> = { ddof: 1, epsilon: 1e-9, clip: 10, ...given };
  if (settings.ddof !== 0 && settings.ddof !== 1)
    throw wrongSetting("treeNodesAdvantage", "ddof", settings.ddof, "0 or 1");
  checkNumber("treeNodesAdvantage", "epsilon", settings.epsilon, { least: 0 });
  if (!(settings.clip > 0)) throw wrongSetting("treeNodesAdvantage", "clip", settings.clip, "above 0");
  return Object.freeze({
    stage: "advantage",
    name: "tree-nodes",
    compares: "episodes",
    gives: "advantages",
    settings,
    advantages: (groups) => groups.map((judged) => ofTree(judged, settings)),
  } satisfies AdvantagePart);
}

function ofTree(judged: JudgedGroup, settings: Required<TreeNodesAdvantageSettings>): GroupAdvantages {
  const advantage = treeScale(nodeWorths(judged), { ...settings, single: "zero" });
  const advantages = judged.values.map((row) => row.map(advantage));
  return {
    advantages,
    hasSignal: advantages.some((row, i) =>
      row.some((value, j) => value !== 0 && judged.trained?.[i]?.[j] !== 0),
    ),
  };
}

export const treeNodesAdvantageCard: MethodCard = {
  name: "tree-nodes",
  title: "Advantage over a tree's nodes",
  stage: "advantage",
  line: "a node is compared with all nodes of its search tree, whichever policy made them",
  use: 'import { treeNodesAdvantage } from "troupe/methods"',
  formula: ["Â_v = (r̂_v − mean of r̂ over the tree) / (std + ε), cut to ±clip"],
  defaults: {
    ddof: { value: 1, source: "public code" },
    epsilon: { value: 1e-9, source: "public code" },
    clip: { value: 10, source: "public code" },
  },
  source: "MARS² (arXiv 2604.14564), public code",
  notes: ["UNVERIFIED: whether the paper's path-level group is more than this"],
};
