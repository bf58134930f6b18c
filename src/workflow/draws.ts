/** @file Random numbers and the time, as effects: a replay gives the recorded ones. */

import { type Key, key, Stream } from "../random/stream.ts";
import { ReplayDivergenceError } from "./errors.ts";
import type { EpisodeRuntime, Meter } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import type { DrawRecord } from "./trajectory.ts";

function draw(runtime: EpisodeRuntime, kind: DrawRecord["kind"], scope: Scope, live: () => number): number {
  const issued = runtime.issue();
  let known: DrawRecord | undefined;
  try {
    known = runtime.recorded?.draw(kind, scope.path, issued);
  } catch (error) {
    if (error instanceof ReplayDivergenceError) runtime.giveUp(error);
    throw error;
  }
  // The stream goes on in step with the journal, so that what follows it is what would have followed.
  const drawn = live();
  const record =
    known === undefined
      ? { kind, scope: scope.path, issued, value: drawn }
      : runtime.recorded!.strict
        ? known
        : { ...known, issued };
  runtime.draws.push(record);
  // Random numbers follow from the episode's key; only times have to be kept for a recovery.
  if (kind !== "random" && known === undefined) runtime.journal({ kind: "draw", record });
  return record.value;
}

/** The workflow's own stream: named by the episode, never by timing. */
export class EpisodeStream extends Stream {
  readonly #runtime: EpisodeRuntime;
  readonly #scope: Scope;

  constructor(runtime: EpisodeRuntime, scope: Scope) {
    super(streamKey(runtime, scope));
    this.#runtime = runtime;
    this.#scope = scope;
  }

  override uniform(): number {
    return draw(this.#runtime, "random", this.#scope, () => super.uniform());
  }
}

function streamKey({ key: [k0, k1] }: EpisodeRuntime, { path }: Scope): Key {
  return path === "" ? key(k0, k1, "random") : key(k0, k1, "random", path);
}

/** Milliseconds since 1970, as the workflow sees them. */
export const timeOf = (runtime: EpisodeRuntime, scope: Scope) => (): number =>
  draw(runtime, "now", scope, () => runtime.clock.date());

/** What the episode has used. Its seconds are a time like any other, recorded where a workflow looks at them. */
export const meterOf = (runtime: EpisodeRuntime, scope: Scope) => (): Meter => ({
  ...runtime.meter(),
  get seconds() {
    return draw(runtime, "seconds", scope, () => runtime.seconds());
  },
});
