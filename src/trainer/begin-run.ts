/** @file Begins a run, or goes on with one that was killed or stopped: everything that its loop works with. */

import { join } from "node:path";
import { EffectJournal } from "../store/effect-journal.ts";
import { CallBuffer } from "./call-buffer.ts";
import { episodeRunner } from "./episode-runner.ts";
import { EpisodeStore } from "./episode-store.ts";
import type { LoopParts } from "./loop-parts.ts";
import { type OpenRunOptions, openRun, statefulParts } from "./open-run.ts";
import type { OpenPolicies } from "./policies.ts";
import { RunProgress } from "./progress.ts";
import type { Reporter } from "./reporter.ts";
import { beginParts, RunSaver, restoreParts, restorePolicies } from "./save-run.ts";

export interface BegunRun<Task> {
  readonly parts: LoopParts<Task>;
  /** Of journal and folder. The policies belong to whoever opened them. */
  close(): Promise<void>;
}

/** @throws RunFolderError; errors of policies, method and rewards that a checkpoint cannot be restored to. */
export async function beginRun<Task>(
  options: OpenRunOptions<Task> & {
    readonly policies: OpenPolicies;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<BegunRun<Task>> {
  const { settings, tasks, heldOut, reporter, policies, signal } = options;
  const opened = await openRun({ settings, tasks, heldOut, fresh: options.fresh, reporter });
  const { folder, checkpoint, begin } = opened;
  let journal: EffectJournal | undefined;
  const close = async () => {
    await journal?.close();
    await folder.close();
  };
  try {
    const remembers = settings.method.sampler?.memory;
    const store = remembers === undefined ? undefined : new EpisodeStore(remembers);
    const buffer = settings.buffer === 0 ? undefined : new CallBuffer(settings.buffer);
    const stateful = statefulParts(settings, store, buffer);
    beginParts(stateful);
    if (begin !== undefined) await restorePolicies(begin, policies);
    if (checkpoint !== undefined) restoreParts(checkpoint, stateful);
    // What episodes put into a shared memory is not in a journal that answers them without asking the memory.
    if (settings.memory === undefined) {
      const warn = (text: string) => reporter.warn(text);
      journal = new EffectJournal(join(folder.path, "journal"), { warn });
    }
    const { all } = policies;
    const runner = episodeRunner({ settings, policies: all, reporter, signal, journal, store, buffer });
    warnOfLeaks(tasks, heldOut, reporter);
    const progress = new RunProgress(settings, checkpoint?.state.progress);
    const saver = new RunSaver({
      ...{ folder, policies, settings, progress, parts: stateful, journal },
      config: opened.config,
      saved: checkpoint,
    });
    const stepsDone = checkpoint?.state.step ?? 0;
    return {
      parts: { runner, policies, folder, progress, saver, reporter, tasks, heldOut, stepsDone },
      close,
    };
  } catch (error) {
    await close();
    throw error;
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
