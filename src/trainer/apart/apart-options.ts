/** @file What the processes of a run that is trained apart are told, and what cannot be done apart. */

import { isAbsolute, join, relative, resolve, sep } from "node:path";
import type { TrainOptions, TrainSettings } from "../config.ts";
import { configRecord } from "../config-record.ts";
import type { Reporter } from "../reporter.ts";
import { configDigest } from "../same-run.ts";
import { ApartError } from "./errors.ts";

/** Of a run whose policies are trained by processes of their own. Every process is given the same. */
export interface ApartOptions<Task> extends TrainOptions<Task> {
  /**
   * A folder that all processes of the run see, on one machine or on a shared disk. One run a folder, and not inside the
   * run's own, which is moved aside when a new run begins.
   */
  readonly store: string;
}

export interface ApartControl {
  /** Default: progress on the terminal. */
  readonly reporter?: Reporter;
  /** Stops at the next safe point; the same call goes on from there. */
  readonly signal?: AbortSignal;
  /** Seconds that one process waits for another before it gives up. Default Infinity. */
  readonly timeout?: number;
  /** Seconds of waiting after which it is said for whom. Default 10; then after twice as long, and so on. */
  readonly sayAfter?: number;
  /** Seconds between signs of life; one that gives none for eight times as long is taken for dead. Default 2. */
  readonly beat?: number;
}

export interface ApartSettings {
  readonly timeout: number;
  readonly sayAfter: number;
  readonly beat: number;
}

/** @throws ApartError E_APART_SETTING */
export function checkControl({ timeout = Infinity, sayAfter = 10, beat = 2 }: ApartControl): ApartSettings {
  for (const [name, value] of Object.entries({ timeout, sayAfter, beat })) {
    if (value > 0 && (name === "timeout" || Number.isFinite(value))) continue;
    throw setting(`\`${name}\` is ${value}`, `give seconds above 0, or leave \`${name}\` out.`);
  }
  return { timeout, sayAfter, beat };
}

/** @throws ApartError E_APART_SETTING */
export function checkApart(
  store: string,
  settings: Pick<TrainSettings<unknown>, "staleness" | "run" | "runsFolder">,
): void {
  const run = join(settings.runsFolder, settings.run);
  const within = relative(resolve(run), resolve(store));
  if (within === "" || !(within === ".." || within.startsWith(`..${sep}`) || isAbsolute(within)))
    throw setting(
      `the store ${store} lies in the run's folder ${run}, which is moved aside when a new run begins`,
      `take a folder outside it, such as ${run}-store.`,
    );
  if (settings.staleness > 0)
    throw setting(
      `\`staleness\` is ${settings.staleness}, and the controller samples with the newest weights of all policies alone`,
      "leave `staleness` out, or train in one process.",
    );
}

/** What all processes of a run must have in common. */
export const apartDigest = <Task>(settings: TrainSettings<Task>): string =>
  configDigest(JSON.parse(JSON.stringify(configRecord(settings))));

function setting(what: string, hint: string): ApartError {
  return new ApartError({
    code: "E_APART_SETTING",
    message: `Policies cannot be trained apart like this: ${what}.`,
    hint,
  });
}
