/**
 * @file A method that has all that a kill can tear: waves, branches, dropped groups, remembered episodes that are recalled
 * and reflected on, and a mean that it keeps between steps and weighs tasks by.
 */

import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { compose } from "../../../src/methods/compose.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import type { Method, SamplingRequest, SamplingView } from "../../../src/methods/method.ts";
import type { SequenceWeight } from "../../../src/methods/parts.ts";
import type { Trajectory } from "../../../src/workflow/trajectory.ts";

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
      ...kept.slice(0, 1).map(({ id }): SamplingRequest => ({ kind: "reflect", group, episode: id })),
    ];
  });
}

/** Divides by a running mean of rewards. */
function byRunningMean(): SequenceWeight & { readonly mean: () => number } {
  let mean = 0.5;
  return {
    stage: "sequence weight",
    name: "running-mean",
    settings: {},
    weights: ({ values }) => values.map((row) => row.map(() => 1 / (0.5 + mean))),
    observe: ({ groups }) => {
      for (const { episodes } of groups) for (const { reward } of episodes) mean += 0.05 * (reward - mean);
    },
    mean: () => mean,
    state: () => mean,
    restore: (state) => {
      mean = Number(state);
    },
  };
}

export function rememberingMethod(groupSize: number): Method {
  const runningMean = byRunningMean();
  const method = compose({
    name: "remembering",
    sampler: {
      stage: "sampler",
      name: "all-kinds",
      samples: "tree",
      settings: {},
      groupSize,
      next,
      reflects: true,
      memory: { capacity: 3, keep: ({ episodes }) => episodes.map(({ reward }) => reward === 1) },
    },
    advantage: groupAdvantage(),
    sequenceWeights: [runningMean],
    loss: clipped(),
  });
  return { ...method, taskWeights: (tasks) => tasks.map((_, place) => 1 + place * runningMean.mean()) };
}

/** For the run: its workflow does not look at what is shown. */
export const reflect = <Task extends object>(task: Task, { result }: Trajectory): Task => ({
  ...task,
  before: String(result),
});
