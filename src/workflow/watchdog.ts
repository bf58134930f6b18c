/** @file Says who waits for what when nothing has moved for a while. Silence is the loudest complaint of the field. */

import type { Clock, Timer } from "./clock.ts";
import { systemClock } from "./clock.ts";
import type { Gates } from "./gate.ts";
import type { EpisodeRuntime } from "./runtime.ts";

export interface WatchdogOptions {
  /** Seconds without a settled effect in any episode. Default 60. */
  readonly seconds?: number;
  readonly gates: Gates;
  readonly clock?: Clock;
  readonly warn: (text: string) => void;
}

export class Watchdog {
  readonly #seconds: number;
  readonly #gates: Gates;
  readonly #clock: Clock;
  readonly #warn: (text: string) => void;
  readonly #episodes = new Set<EpisodeRuntime>();
  #timer: Timer | undefined;
  /** Of episodes that have ended, so that the count only grows: one that ends is progress as well. */
  #ended = 0;
  #lastProgress = -1;

  constructor({ seconds = 60, gates, clock = systemClock, warn }: WatchdogOptions) {
    this.#seconds = seconds;
    this.#gates = gates;
    this.#clock = clock;
    this.#warn = warn;
  }

  add(episode: EpisodeRuntime): void {
    this.#episodes.add(episode);
    if (this.#timer === undefined) this.#arm();
  }

  remove(episode: EpisodeRuntime): void {
    if (this.#episodes.delete(episode)) this.#ended += episode.progress + 1;
    if (this.#episodes.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Who waits for what, the most common first. */
  report(): string {
    const waits = new Map<string, { count: number; oldest: number; example: string }>();
    let without = 0;
    for (const episode of this.#episodes) {
      const open = episode.open();
      if (open.length === 0) without++;
      for (const { name, entered, startedAt } of open) {
        // The number of the call in its episode is of no interest here.
        const what = `${name.replace(/ \(call \d+\)$/, "")}${entered ? "" : ", still at its gate"}`;
        const seconds = episode.seconds() - startedAt;
        const known = waits.get(what);
        if (known === undefined) waits.set(what, { count: 1, oldest: seconds, example: episode.id });
        else {
          known.count++;
          if (seconds > known.oldest) {
            known.oldest = seconds;
            known.example = episode.id;
          }
        }
      }
    }
    const lines = [...waits]
      .sort(([, left], [, right]) => right.count - left.count)
      .slice(0, 8)
      .map(
        ([what, { count, oldest, example }]) =>
          `  ${count} × ${what}; the longest for ${oldest.toFixed(0)} s (episode ${example})`,
      );
    if (without > 0) lines.push(`  ${without} episodes are in their own code, waiting for nothing of ours`);
    for (const { name, inside, waiting, limit } of this.#gates.busy()) {
      lines.push(
        `  ${name}: ${inside} in flight${Number.isFinite(limit) ? ` of at most ${limit}` : ""}, ${waiting} waiting`,
      );
    }
    return lines.join("\n");
  }

  #arm(): void {
    this.#timer = this.#clock.after(this.#seconds * 1000, () => {
      const progress = [...this.#episodes].reduce((sum, episode) => sum + episode.progress, this.#ended);
      if (progress === this.#lastProgress) {
        this.#warn(
          `nothing has moved for ${this.#seconds} s; ${this.#episodes.size} episodes are in flight:\n${this.report()}`,
        );
      }
      this.#lastProgress = progress;
      this.#arm();
    });
  }
}
