/** @file `train`: checks, opens and closes everything around the training loop. */

import { loadTasks } from "../data/task-source.ts";
import { type BegunRun, beginRun } from "./begin-run.ts";
import { checkConfig, type TrainOptions } from "./config.ts";
import { TrainingLoop } from "./loop.ts";
import { openPolicies } from "./policies.ts";
import { consoleReporter, type Reporter } from "./reporter.ts";
import type { RunSummary } from "./summary.ts";

export interface TrainControl {
  /** Default: progress on the terminal. */
  readonly reporter?: Reporter;
  /** Stops at the next safe point: episodes in flight are dropped, an update that has begun is finished. */
  readonly signal?: AbortSignal;
  /** Begin anew even if the run folder holds an unfinished run: that one is moved aside. Default false. */
  readonly fresh?: boolean;
}

/**
 * Trains the policies behind a workflow. A run that was killed or stopped goes on when the same is asked for again.
 *
 * @throws TrainConfigError, TaskFileError, RunFolderError before anything is spent; RunStoppedError, StoreError and errors
 *   of the engine while it runs.
 * @example
 * const summary = await train({ workflow: atlas, tasks: jsonl("train.jsonl"), policies: { small: local("…") }, method: grpo(), steps: 60 });
 */
export async function train<Task>(
  options: TrainOptions<Task>,
  control: TrainControl = {},
): Promise<RunSummary> {
  const settings = checkConfig(options);
  const { workflow } = settings;
  const tasks = await loadTasks(settings.tasks, "tasks", workflow.task);
  const heldOut =
    (settings.evaluate && (await loadTasks(settings.evaluate, "evaluate", workflow.task))) ?? [];
  const reporter = control.reporter ?? consoleReporter();
  const policies = await openPolicies(settings);
  let run: BegunRun<Task> | undefined;
  try {
    const { signal, fresh = false } = control;
    run = await beginRun({ settings, tasks, heldOut, fresh, reporter, policies, signal });
    return await new TrainingLoop(run.parts).run();
  } finally {
    reporter.close();
    await policies.close();
    await run?.close();
  }
}
