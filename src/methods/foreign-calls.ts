/**
 * @file Which calls of a group a policy may learn from though another policy made them: those of the same agent. Who learns
 * is whoever plays that agent in the group and is trained.
 */

import type { JudgedGroup } from "./parts.ts";

export interface ForeignCall {
  /** Places in the group and among the calls of its episode. */
  readonly episode: number;
  readonly call: number;
  readonly source: string;
  readonly learner: string;
}

/**
 * Sorted by learner, then in the order of the group. A call that the credit assigner leaves out, such as the second copy of
 * one that branches share, is no source.
 */
export function foreignCalls({ group, trained }: JudgedGroup): readonly ForeignCall[] {
  const learners = new Map<string, Set<string>>();
  for (const { calls } of group.episodes) {
    for (const { agent, policy, frozen } of calls) {
      if (policy === undefined || frozen === true) continue;
      const known = learners.get(agent) ?? new Set<string>();
      learners.set(agent, known.add(policy));
    }
  }
  const found = group.episodes.flatMap(({ calls }, episode) =>
    calls.flatMap(({ agent, policy: source }, call): readonly ForeignCall[] => {
      if (source === undefined || trained?.[episode]?.[call] === 0) return [];
      return [...(learners.get(agent) ?? [])]
        .filter((learner) => learner !== source)
        .map((learner) => ({ episode, call, source, learner }));
    }),
  );
  // Array.prototype.sort is stable.
  return found.sort((a, b) => (a.learner < b.learner ? -1 : a.learner > b.learner ? 1 : 0));
}
