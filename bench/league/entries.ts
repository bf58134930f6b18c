/**
 * @file Who takes part. An entry is a method as its paper has it, but with eight episodes a task wherever it compares
 * episodes of one task; one line each.
 */

import {
  type AdvantagePart,
  ar3po,
  branching,
  broadcast,
  type CreditAssigner,
  cispo,
  clipped,
  compose,
  copo,
  dapo,
  dpo,
  drGrpo,
  emaGrpo,
  fGrpo,
  g2rpo,
  gigpo,
  groupAdvantage,
  grpo,
  gspo,
  type Method,
  mssr,
  ppo,
  reinforce,
  reinforcePlusPlus,
  rejectionSampling,
  rloo,
  sapo,
  treeGrpoAdvantage,
  treeMean,
} from "troupe/methods";

export interface LeagueEntry {
  /** In results, on the command line and in the table. */
  readonly name: string;
  /** A new one for each run: a method may remember. */
  readonly method: () => Method;
  /** Episodes that a task is meant to take, where that is not the method's group size. */
  readonly episodesPerTask?: number;
}

export const entries: readonly LeagueEntry[] = [
  // As printed, without a baseline; eight episodes of a task instead of one change nothing in expectation.
  { name: "reinforce", method: () => reinforce({ baseline: "none" }) },
  { name: "reinforce, group mean", method: () => reinforce() },
  { name: "rloo", method: () => rloo({ groupSize: 8 }) },
  { name: "reinforce++", method: () => reinforcePlusPlus() },
  { name: "ppo", method: () => ppo() },
  { name: "grpo", method: () => grpo({ groupSize: 8 }) },
  { name: "dr-grpo", method: () => drGrpo({ groupSize: 8 }) },
  { name: "gspo", method: () => gspo({ groupSize: 8 }) },
  { name: "cispo", method: () => cispo({ groupSize: 8 }) },
  { name: "sapo", method: () => sapo({ groupSize: 8 }) },
  { name: "f-grpo", method: () => fGrpo({ groupSize: 8 }) },
  { name: "ema-grpo", method: () => emaGrpo({ groupSize: 8 }) },
  { name: "g2rpo", method: () => g2rpo({ groupSize: 8 }) },
  // Its blended advantage is exact for one update a batch, and the league takes four.
  { name: "copo", method: () => copo({ groupSize: 8 }) },
  { name: "gigpo", method: () => gigpo({ groupSize: 8 }) },
  { name: "rejection-sampling", method: () => rejectionSampling({ groupSize: 8 }) },
  { name: "dpo", method: () => dpo({ groupSize: 8 }) },
  { name: "mssr", method: () => mssr() },
  { name: "dapo", method: () => dapo({ groupSize: 8 }) },
  { name: "ar3po", method: () => ar3po({ perStage: 4, stages: 2 }), episodesPerTask: 8 },
  // Two episodes a task and three branches of each: what calls are worth by what became of them, or by their episode.
  { name: "branches, tree mean", method: () => branches(treeMean()), episodesPerTask: 8 },
  { name: "branches, broadcast", method: () => branches(broadcast()), episodesPerTask: 8 },
  {
    name: "branches, tree-grpo",
    method: () => branches(broadcast(), treeGrpoAdvantage()),
    episodesPerTask: 8,
  },
  // Normalisation of a team that shares one model: all of its tokens together, or each agent's apart.
  { name: "grpo, per model", method: () => grpo({ groupSize: 8, normalise: "model" }) },
  { name: "grpo, per agent", method: () => grpo({ groupSize: 8, normalise: "agent" }) },
  // What the episodes below the group's mean teach.
  { name: "grpo, positive only", method: () => compose({ advantage: positiveOnly(), loss: clipped() }) },
];

/** Group advantages without those below 0. */
function positiveOnly(): AdvantagePart {
  const advantage = groupAdvantage();
  return {
    ...advantage,
    name: "positive-only",
    advantages: (groups) =>
      advantage.advantages(groups).map((credit) => ({
        ...credit,
        advantages: credit.advantages.map((row) => row.map((value) => Math.max(value, 0))),
      })),
  };
}

function branches(credit: CreditAssigner, advantage: AdvantagePart = groupAdvantage()): Method {
  const sampler = branching({ groupSize: 2, branches: 3 });
  return compose({ name: "branches", sampler, credit, advantage, loss: clipped() });
}

export function entryNamed(name: string): LeagueEntry {
  const found = entries.find((entry) => entry.name === name);
  if (found === undefined)
    throw new Error(
      `There is no method "${name}"; there are ${entries.map((entry) => entry.name).join("; ")}.`,
    );
  return found;
}
