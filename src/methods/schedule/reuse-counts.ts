/**
 * @file How often a sample is gone through again, by how much newer it is than others of its group.
 * Source: see `manger.ts`.
 */

import { LossError, wrongSetting } from "../errors.ts";

export interface ReuseCountSettings {
  /** Default 1 (official code). */
  readonly ddof?: 0 | 1;
  /** Most extra passes of a sample. Default 3 (official code). */
  readonly most?: number;
  /** Added to the standard deviation. Default 0. */
  readonly epsilon?: number;
}

/**
 * [n] u. A group of one, one without samples, and one whose deviation is below 1e-12 of its mean have no extra passes.
 *
 * @param novelties [n] e of one group, finite and at least 0.
 * @throws MethodSettingsError | LossError
 */
export function reuseCounts(
  novelties: ArrayLike<number>,
  { ddof = 1, most = 3, epsilon = 0 }: ReuseCountSettings = {},
): Int32Array {
  if (ddof !== 0 && ddof !== 1) throw wrongSetting("manger", "ddof", ddof, "0 or 1");
  if (!Number.isInteger(most) || most < 0)
    throw wrongSetting("manger", "most", most, "an integer of at least 0");
  if (!(epsilon >= 0 && Number.isFinite(epsilon)))
    throw wrongSetting("manger", "epsilon", epsilon, "a finite number of at least 0");
  const all = Array.from(novelties);
  const wrong = all.findIndex((novelty) => !(novelty >= 0 && Number.isFinite(novelty)));
  if (wrong >= 0) {
    throw new LossError({
      code: "E_NOVELTY",
      message: `Novelty ${wrong} of a group is ${all[wrong]}; it is a squared distance.`,
      hint: "look for an observation that is not finite.",
    });
  }
  const mean = all.reduce((sum, novelty) => sum + novelty, 0) / all.length;
  const squares = all.reduce((sum, novelty) => sum + (novelty - mean) ** 2, 0);
  const deviation = all.length < 2 ? 0 : Math.sqrt(squares / (all.length - ddof));
  if (!(deviation > 1e-12 * mean)) return new Int32Array(all.length);
  return Int32Array.from(all, (novelty) =>
    Math.trunc(Math.min(most, Math.max(0, (novelty - mean) / (deviation + epsilon)))),
  );
}

/** [passes] the places with a count of at least 1, of at least 2, …; with the official code's form from 2 on. */
export function extraPasses(
  counts: ArrayLike<number>,
  form: "paper" | "official code" = "paper",
): readonly (readonly number[])[] {
  const first = form === "paper" ? 1 : 2;
  const last = Array.from(counts).reduce((largest, count) => Math.max(largest, count), 0);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) =>
    Array.from(counts, (_, place) => place).filter((place) => counts[place]! >= first + k),
  );
}
