/** @file Counts failed episodes, and stops a run in which too many fail. */

import type { EpisodeFailure } from "../workflow/errors.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { RunStoppedError } from "./errors.ts";

/** Fewer episodes than this say nothing about a rate, unless all of them failed. */
const leastEpisodes = 32;

/** The newest episodes that ended: the failure of each, or null. JSON. */
export type FailureWindow = readonly (EpisodeFailure | null)[];

export class FailureWatch {
  readonly #limit: number;
  #recent: FailureWindow;

  /** `window`: that of a run that is continued. */
  constructor(limit: number, window: FailureWindow = []) {
    this.#limit = limit;
    this.#recent = window;
  }

  get window(): FailureWindow {
    return this.#recent;
  }

  /**
   * Takes in a batch of episodes and returns its failures by "boundary/code".
   * @throws RunStoppedError if the share of failures passes the limit.
   */
  check(trajectories: readonly Trajectory[], what: string): Record<string, number> {
    const ended = trajectories.filter(({ status }) => status !== "cancelled");
    const failures = failuresOf(ended);
    // The last 32 episodes or the newest batch, whichever is more.
    const newest = ended.map(({ failure }) => failure ?? null);
    this.#recent = [...this.#recent, ...newest].slice(-Math.max(leastEpisodes, ended.length));
    const recent = this.#recent.filter((failure) => failure !== null);
    const rate = recent.length / Math.max(1, this.#recent.length);
    const all = ended.length > 0 && failures.length === ended.length;
    if (all || (rate > this.#limit && this.#recent.length >= leastEpisodes))
      throw this.#stopped(recent, what, rate);
    return countByCode(failures);
  }

  #stopped(failures: readonly EpisodeFailure[], what: string, rate: number): RunStoppedError {
    const counts = Object.entries(countByCode(failures)).sort(([, a], [, b]) => b - a);
    const [commonest, times] = counts[0]!;
    const example = failures.find((failure) => codeOf(failure) === commonest)!;
    return new RunStoppedError({
      code: "E_FAILURE_RATE",
      message: `${failures.length} of the last ${this.#recent.length} episodes failed (${(rate * 100).toFixed(0)} %, limit ${(this.#limit * 100).toFixed(0)} %) in ${what}. Commonest: ${commonest}, ${times} times. An example: ${example.message}`,
      hint:
        example.hint ??
        "correct the cause; failed episodes are left out of training, and too few would be left.",
      facts: { failures: Object.fromEntries(counts), rate },
    });
  }
}

export function failuresOf(trajectories: readonly Trajectory[]): EpisodeFailure[] {
  return trajectories.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
}

const codeOf = ({ boundary, code }: EpisodeFailure) => `${boundary}/${code}`;

export function countByCode(failures: readonly EpisodeFailure[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const failure of failures) counts[codeOf(failure)] = (counts[codeOf(failure)] ?? 0) + 1;
  return counts;
}
