/** @file What the episodes of one run share: gates, watchdog, prompt cache, limits, deadlines, memory, one signal. */

import { setMaxListeners } from "node:events";
import type { AnyPolicy } from "../engine/policy.ts";
import type { EffectJournal } from "../store/effect-journal.ts";
import type { EpisodeSettings } from "../workflow/episode.ts";
import { Gates } from "../workflow/gate.ts";
import { PromptCache } from "../workflow/prompt-cache.ts";
import { Watchdog } from "../workflow/watchdog.ts";
import type { CallBuffer } from "./call-buffer.ts";
import type { TrainSettings } from "./config.ts";
import type { EpisodeStore } from "./episode-store.ts";
import type { EpisodeRunner } from "./groups.ts";
import type { Reporter } from "./reporter.ts";

export interface EpisodeRunnerParts<Task> {
  readonly settings: TrainSettings<Task>;
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  readonly reporter: Reporter;
  /** The caller's. */
  readonly signal?: AbortSignal | undefined;
  /** Of a run that can be continued after a crash. */
  readonly journal?: EffectJournal | undefined;
  /** Of a method whose sampler remembers. */
  readonly store?: EpisodeStore | undefined;
  /** Of a run whose policies wait for enough calls. */
  readonly buffer?: CallBuffer | undefined;
}

export function episodeRunner<Task>({
  settings,
  policies,
  reporter,
  signal,
  journal,
  store,
  buffer,
}: EpisodeRunnerParts<Task>): EpisodeRunner<Task> {
  return {
    settings,
    policies,
    shared: sharedByEpisodes(settings, reporter),
    journal,
    store,
    buffer,
    signal: runSignal(signal),
    onEpisode: liveCount(reporter),
  };
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

/** The run's own signal: one listener on the caller's, any number of episodes on this one. */
function runSignal(outer: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  if (outer?.aborted === true) controller.abort(outer.reason);
  outer?.addEventListener("abort", () => controller.abort(outer.reason), { once: true });
  return controller.signal;
}
