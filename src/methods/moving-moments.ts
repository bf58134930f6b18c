/** @file Moving averages of values and of their squares, by name: m ← d m + (1 − d) batch mean; the first batch starts them. */

import { MethodSettingsError } from "./errors.ts";

export interface Moments {
  readonly mean: number;
  readonly meanSquare: number;
}

/** @param samples at least one value a name; names without samples stay as they are. */
export function movedMoments(
  known: ReadonlyMap<string, Moments>,
  samples: ReadonlyMap<string, readonly number[]>,
  decay: number,
): ReadonlyMap<string, Moments> {
  const next = new Map(known);
  for (const [key, values] of samples) {
    const mean = meanOf(values);
    const meanSquare = meanOf(values.map((value) => value * value));
    const old = known.get(key) ?? { mean, meanSquare };
    next.set(key, {
      mean: decay * old.mean + (1 - decay) * mean,
      meanSquare: decay * old.meanSquare + (1 - decay) * meanSquare,
    });
  }
  return next;
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** From a checkpoint. @throws MethodSettingsError E_METHOD_STATE */
export function readMoments(part: string, state: unknown): ReadonlyMap<string, Moments> {
  const entries = typeof state === "object" && state !== null ? Object.entries(state) : undefined;
  const moments = entries?.flatMap(([key, value]) => (isMoments(value) ? [[key, value] as const] : []));
  if (entries === undefined || moments?.length !== entries.length) {
    throw new MethodSettingsError({
      code: "E_METHOD_STATE",
      message: `The checkpoint's moments of ${part} are not a mean and a mean square a name.`,
      hint: "it is of a run with another method, or damaged; begin anew with --fresh.",
    });
  }
  return new Map(moments);
}

const isMoments = (value: unknown): value is Moments =>
  typeof value === "object" &&
  value !== null &&
  "mean" in value &&
  "meanSquare" in value &&
  Number.isFinite(value.mean) &&
  Number.isFinite(value.meanSquare);
