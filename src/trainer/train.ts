/** @file `train`: checks, opens and closes everything around the training loop. */

import { setMaxListeners } from "node:events";
import { loadTasks } from "../data/task-source.ts";
import type { EpisodeSettings } from "../workflow/episode.ts";
import { Gates } from "../workflow/gate.ts";
import { PromptCache } from "../workflow/prompt-cache.ts";
import { Watchdog } from "../workflow/watchdog.ts";
import { checkConfig, configRecord, type TrainOptions, type TrainSettings } from "./config.ts";
import type { EpisodeRunner } from "./groups.ts";
import { TrainingLoop } from "./loop.ts";
import { openPolicies } from "./policies.ts";
import { consoleReporter, type Reporter } from "./reporter.ts";
import { RunFolder } from "./run-folder.ts";
import type { RunSummary } from "./summary.ts";

export interface TrainControl {
  /** Default: progress on the terminal. */
  readonly reporter?: Reporter;
  /** Stops at the next safe point: episodes in flight are dropped, an update that has begun is finished. */
  readonly signal?: AbortSignal;
}

/**
 * Trains the policies behind a workflow.
 *
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
  const heldOut = settings.evaluate && (await loadTasks(settings.evaluate, "evaluate", workflow.task));
  const policies = await openPolicies(settings);
  const reporter = control.reporter ?? consoleReporter();
  let folder: RunFolder | undefined;
  try {
    const created = await RunFolder.create(settings.runsFolder, settings.run, configRecord(settings));
    folder = created.folder;
    if (created.movedTo !== undefined)
      reporter.info(`the earlier run of that name is now ${created.movedTo}`);
    const signal = runSignal(control.signal);
    const runner: EpisodeRunner<Task> = {
      settings,
      policies: policies.all,
      shared: sharedByEpisodes(settings, reporter),
      signal,
      onEpisode: liveCount(reporter),
    };
    warnOfLeaks(tasks, heldOut ?? [], reporter);
    return await new TrainingLoop({
      runner,
      policies,
      folder,
      reporter,
      tasks,
      heldOut: heldOut ?? [],
    }).run();
  } finally {
    reporter.close();
    await policies.close();
    await folder?.close();
  }
}

function sharedByEpisodes<Task>(settings: TrainSettings<Task>, reporter: Reporter): EpisodeSettings {
  const { concurrency, deadlines, limits, memory, watchdog: seconds } = settings;
  const gates = new Gates(concurrency);
  return {
    gates,
    deadlines,
    limits,
    prompts: new PromptCache(),
    watchdog: new Watchdog({ seconds, gates, warn: (text) => reporter.warn(text) }),
    ...(memory === undefined ? {} : { memory }),
  };
}

/** Shows episodes as they end, a few times a second at most. */
function liveCount(reporter: Reporter): EpisodeRunner<unknown>["onEpisode"] {
  let shownAt = performance.now();
  return (done, of) => {
    if (performance.now() - shownAt < 250) return;
    shownAt = performance.now();
    reporter.status(`${done}/${of} episodes`);
  };
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

/** The run's own signal: one listener on the caller's, any number of episodes on this one. */
function runSignal(outer: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  if (outer?.aborted === true) controller.abort(outer.reason);
  outer?.addEventListener("abort", () => controller.abort(outer.reason), { once: true });
  return controller.signal;
}
