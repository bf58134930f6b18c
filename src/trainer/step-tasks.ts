/** @file Which tasks a step takes: each once an epoch, or in proportion to what the method says they are worth. */

import type { Method } from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { RunStoppedError } from "./errors.ts";
import { taskName } from "./told-group.ts";

/** The tasks of a step: every epoch is a new keyed shuffle, so the order depends on the seed alone. */
export function tasksOfStep(tasks: number, tasksPerStep: number, step: number, seed: number): number[] {
  const chosen: number[] = [];
  let epoch = -1;
  let order: readonly number[] = [];
  for (let position = (step - 1) * tasksPerStep; position < step * tasksPerStep; position++) {
    if (Math.floor(position / tasks) !== epoch) {
      epoch = Math.floor(position / tasks);
      order = stream(seed, "task order", epoch).shuffled(Array.from({ length: tasks }, (_, index) => index));
    }
    chosen.push(order[position % tasks]!);
  }
  return chosen;
}

/** Names are digests: made once for a run's tasks. */
const named = new WeakMap<readonly unknown[], readonly string[]>();

/**
 * The tasks of a step, as the method has them weighed (`Method.taskWeights`), or else `tasksOfStep`.
 * @throws RunStoppedError E_TASK_WEIGHTS: not one finite number of at least 0 a task.
 */
export function chosenTasks(
  method: Pick<Method, "name" | "taskWeights">,
  tasks: readonly unknown[],
  {
    tasksPerStep,
    seed,
    step,
  }: { readonly tasksPerStep: number; readonly seed: number; readonly step: number },
): readonly number[] {
  if (method.taskWeights === undefined) return tasksOfStep(tasks.length, tasksPerStep, step, seed);
  const names = named.get(tasks) ?? tasks.map(taskName);
  named.set(tasks, names);
  const weights = method.taskWeights(names);
  const wrong =
    weights.length === tasks.length
      ? Array.from(weights).findIndex((weight) => !(Number.isFinite(weight) && weight >= 0))
      : 0;
  if (wrong >= 0) {
    throw new RunStoppedError({
      code: "E_TASK_WEIGHTS",
      message:
        weights.length === tasks.length
          ? `Method "${method.name}" weighs task ${wrong} with ${weights[wrong]} in step ${step}.`
          : `Method "${method.name}" gives ${weights.length} weights for ${tasks.length} tasks in step ${step}.`,
      hint: "taskWeights must give one finite number of at least 0 for each task.",
      facts: { step },
    });
  }
  return weightedTasks(weights, tasksPerStep, step, seed);
}

/**
 * Different tasks, in proportion to their weights (Efraimidis & Spirakis, 2006: the smallest −ln u / w); those of weight 0
 * only where there are no others. A step that is larger than the run's tasks has all of them first.
 */
export function weightedTasks(
  weights: ArrayLike<number>,
  count: number,
  step: number,
  seed: number,
): number[] {
  const random = stream(seed, "task choice", step);
  const all = Array.from(weights, (weight, index) => {
    const wait = -Math.log(1 - random.uniform());
    return { index, weighs: weight > 0, wait: weight > 0 ? wait / weight : wait };
  });
  all.sort((a, b) => Number(b.weighs) - Number(a.weighs) || a.wait - b.wait);
  return Array.from({ length: count }, (_, place) => all[place % all.length]!.index);
}
