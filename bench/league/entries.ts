/**
 * @file Who takes part. An entry is a method as its paper has it, but with eight episodes a task wherever it compares
 * episodes of one task; one line each.
 */

import { grpo, type Method, ppo } from "troupe/methods";

export interface LeagueEntry {
  /** In results, on the command line and in the table. */
  readonly name: string;
  /** A new one for each run: a method may remember. */
  readonly method: () => Method;
  /** Episodes that a task is meant to take, where that is not the method's group size. */
  readonly episodesPerTask?: number;
}

export const entries: readonly LeagueEntry[] = [
  { name: "ppo", method: () => ppo() },
  { name: "grpo", method: () => grpo({ groupSize: 8 }) },
  // Normalisation of a team that shares one model: all of its tokens together, or each agent's apart.
  { name: "grpo, per model", method: () => grpo({ groupSize: 8, normalise: "model" }) },
  { name: "grpo, per agent", method: () => grpo({ groupSize: 8, normalise: "agent" }) },
];

export function entryNamed(name: string): LeagueEntry {
  const found = entries.find((entry) => entry.name === name);
  if (found === undefined)
    throw new Error(
      `There is no method "${name}"; there are ${entries.map((entry) => entry.name).join("; ")}.`,
    );
  return found;
}
