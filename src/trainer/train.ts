/** @file `train`: checks, opens and closes everything around the training loop. */

import { join } from "node:path";
import { loadTasks } from "../data/task-source.ts";
import { EffectJournal } from "../store/effect-journal.ts";
import { CallBuffer } from "./call-buffer.ts";
import { checkConfig, type TrainOptions } from "./config.ts";
import { episodeRunner } from "./episode-runner.ts";
import { EpisodeStore } from "./episode-store.ts";
import { TrainingLoop } from "./loop.ts";
import { openRun, statefulParts } from "./open-run.ts";
import { openPolicies } from "./policies.ts";
import { RunProgress } from "./progress.ts";
import { consoleReporter, type Reporter } from "./reporter.ts";
import type { RunFolder } from "./run-folder.ts";
import { beginParts, RunSaver, restoreParts, restorePolicies } from "./save-run.ts";
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
  const { workflow, memory } = settings;
  const tasks = await loadTasks(settings.tasks, "tasks", workflow.task);
  const heldOut =
    (settings.evaluate && (await loadTasks(settings.evaluate, "evaluate", workflow.task))) ?? [];
  const reporter = control.reporter ?? consoleReporter();
  const warn = (text: string) => reporter.warn(text);
  const policies = await openPolicies(settings);
  let folder: RunFolder | undefined;
  let journal: EffectJournal | undefined;
  try {
    const opened = await openRun({ settings, tasks, heldOut, fresh: control.fresh ?? false, reporter });
    folder = opened.folder;
    const { checkpoint, begin } = opened;
    const remembers = settings.method.sampler?.memory;
    const store = remembers === undefined ? undefined : new EpisodeStore(remembers);
    const buffer = settings.buffer === 0 ? undefined : new CallBuffer(settings.buffer);
    const parts = statefulParts(settings, store, buffer);
    beginParts(parts);
    if (begin !== undefined) await restorePolicies(begin, policies);
    if (checkpoint !== undefined) restoreParts(checkpoint, parts);
    // What episodes put into a shared memory is not in a journal that answers them without asking the memory.
    if (memory === undefined) journal = new EffectJournal(join(folder.path, "journal"), { warn });
    const { signal } = control;
    const all = policies.all;
    const runner = episodeRunner({ settings, policies: all, reporter, signal, journal, store, buffer });
    warnOfLeaks(tasks, heldOut, reporter);
    const progress = new RunProgress(settings, checkpoint?.state.progress);
    const saver = new RunSaver({
      folder,
      policies,
      settings,
      progress,
      parts,
      journal,
      config: opened.config,
      saved: checkpoint,
    });
    const stepsDone = checkpoint?.state.step ?? 0;
    const loop = new TrainingLoop({
      runner,
      policies,
      folder,
      progress,
      saver,
      reporter,
      tasks,
      heldOut,
      stepsDone,
    });
    return await loop.run();
  } finally {
    reporter.close();
    await policies.close();
    await journal?.close();
    await folder?.close();
  }
}

/** Held-out tasks that are trained on would make the evaluation a lie. */
function warnOfLeaks(tasks: readonly unknown[], heldOut: readonly unknown[], reporter: Reporter): void {
  const trained = new Set(tasks.map((task) => JSON.stringify(task)));
  const leaked = heldOut.filter((task) => trained.has(JSON.stringify(task))).length;
  if (leaked > 0)
    reporter.warn(
      `${leaked} of ${heldOut.length} held-out tasks are also training tasks; the evaluation measures memory, too.`,
    );
}
