/**
 * @file How many tokens an episode will sample: what a length-aware schedule asks before it begins, or part of the way.
 *
 *   l̂(task, g) = quantile_q of the task's last `window` lengths that are above g;  g: tokens sampled so far
 *
 * Source: "Infinite Sampling" (arXiv 2506.22950) asks a BERT regressor that has read the first tokens of an output.
 * CHOSEN instead: a running quantile per task, which needs no second model. It tells tasks apart, not the samples of one
 * task that have not begun; a regressor of the reader's own fits behind `LengthPredictor`.
 */

import { wrongSetting } from "../errors.ts";
import { wrongState } from "./json-state.ts";

export interface LengthPredictor {
  readonly settings: Readonly<Record<string, unknown>>;
  /** Tokens, more than `generated` (default 0, none sampled yet). Pure. */
  predict(of: { readonly task: string; readonly generated?: number }): number;
  /** Lengths that episodes came to. */
  observe(seen: readonly { readonly task: string; readonly length: number }[]): void;
  /** As JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

export interface RunningQuantileSettings {
  /** q, in [0, 1]. Default 0.5. */
  readonly quantile?: number;
  /** Lengths remembered of a task. Default 64. */
  readonly window?: number;
  /** Said before anything was seen, in tokens. Default 256. */
  readonly prior?: number;
}

/** What is seen of all tasks together, for tasks that are new. */
const everything = "";

/** @throws MethodSettingsError if a setting makes no sense. */
export function runningQuantile(given: RunningQuantileSettings = {}): LengthPredictor {
  const settings = Object.freeze({ quantile: 0.5, window: 64, prior: 256, ...given });
  const { quantile, window, prior } = settings;
  if (!(quantile >= 0 && quantile <= 1))
    throw wrongSetting("runningQuantile", "quantile", quantile, "from 0 to 1");
  if (!Number.isInteger(window) || window < 1)
    throw wrongSetting("runningQuantile", "window", window, "an integer of at least 1");
  if (!(prior > 0 && Number.isFinite(prior)))
    throw wrongSetting("runningQuantile", "prior", prior, "a finite number above 0");
  let seen = new Map<string, number[]>();
  const remember = (name: string, length: number) => {
    const lengths = seen.get(name) ?? [];
    lengths.push(length);
    seen.set(name, lengths.slice(-window));
  };
  return Object.freeze({
    settings,
    predict({ task, generated = 0 }: { readonly task: string; readonly generated?: number }) {
      for (const name of [`task ${task}`, everything]) {
        const longer = (seen.get(name) ?? []).filter((length) => length > generated);
        if (longer.length > 0) return quantileOf(longer, quantile);
      }
      // Longer than anything that was seen: all that is known is that it goes on.
      return Math.max(prior, generated + 1);
    },
    observe(lengths) {
      for (const { length } of lengths) {
        if (!(length >= 0 && Number.isFinite(length)))
          throw wrongSetting("runningQuantile", "length", length, "a finite number of at least 0");
      }
      for (const { task, length } of lengths) {
        remember(`task ${task}`, length);
        remember(everything, length);
      }
    },
    state: () => ({ seen: [...seen] }),
    restore(state) {
      const entries = (state as { readonly seen?: unknown } | null)?.seen;
      if (!Array.isArray(entries) || !entries.every(isEntry)) throw wrongState("runningQuantile");
      seen = new Map(entries.map(([name, lengths]) => [name, lengths.slice(-window)]));
    },
  } satisfies LengthPredictor);
}

const isEntry = (entry: unknown): entry is [string, number[]] =>
  Array.isArray(entry) &&
  typeof entry[0] === "string" &&
  Array.isArray(entry[1]) &&
  entry[1].every((length) => typeof length === "number" && Number.isFinite(length));

/** Linear between the two nearest. */
function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = quantile * (sorted.length - 1);
  const low = sorted[Math.floor(place)]!;
  return low + (sorted[Math.ceil(place)]! - low) * (place - Math.floor(place));
}
