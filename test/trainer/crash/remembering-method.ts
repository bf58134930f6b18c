/**
 * @file A method that has all that a kill can tear: waves, branches, dropped groups, remembered episodes, and a mean that
 * it keeps between steps.
 */

import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { compose } from "../../../src/methods/compose.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import type { Method, SamplingRequest, SamplingView } from "../../../src/methods/method.ts";
import type { SequenceWeight } from "../../../src/methods/parts.ts";

function next({ wave, groups, remembered, random, tasksPerStep }: SamplingView): readonly SamplingRequest[] {
  if (wave > 2) return [];
  return groups.flatMap(({ task, episodes, dropped }, group): readonly SamplingRequest[] => {
    if (dropped) return [];
    if (episodes.every(({ reward }) => reward === episodes[0]?.reward)) {
      const replaced: readonly SamplingRequest[] =
        group < tasksPerStep && wave === 1 ? [{ kind: "task" }] : [];
      return [{ kind: "drop", group }, ...replaced];
    }
    if (wave === 2) return [{ kind: "episodes", group, count: 1 }];
    const kept = remembered(task).filter(({ id }) => episodes.every((episode) => episode.id !== id));
    return [
      { kind: "branch", group, episode: random.integer(episodes.length), at: random.integer(2) },
      ...kept.slice(-1).map(({ id }): SamplingRequest => ({ kind: "recall", group, episode: id })),
    ];
  });
}

/** Divides by a running mean of rewards. */
function byRunningMean(): SequenceWeight {
  let mean = 0.5;
  return {
    stage: "sequence weight",
    name: "running-mean",
    settings: {},
    weights: ({ values }) => values.map((row) => row.map(() => 1 / (0.5 + mean))),
    observe: ({ groups }) => {
      for (const { episodes } of groups) for (const { reward } of episodes) mean += 0.05 * (reward - mean);
    },
    state: () => mean,
    restore: (state) => {
      mean = Number(state);
    },
  };
}

export function rememberingMethod(groupSize: number): Method {
  return compose({
    name: "remembering",
    sampler: {
      stage: "sampler",
      name: "all-kinds",
      samples: "tree",
      settings: {},
      groupSize,
      next,
      memory: { capacity: 3, keep: ({ episodes }) => episodes.map(({ reward }) => reward === 1) },
    },
    advantage: groupAdvantage(),
    sequenceWeights: [byRunningMean()],
    loss: clipped(),
  });
}
