/**
 * @file How often a task is solved, remembered as a Beta distribution that forgets,
 *
 *   v̂ = a / (a + b),   a ← η a + r,   b ← η b + 1 − r,   r in [0, 1]
 *   η = η_max − min(KL̄ / KL_target, 1) (η_max − η_min),   KL̄ the mean over recent steps
 *
 * so that old outcomes count less the further the policy has moved since.
 *
 * Source: MSSR (arXiv 2512.18215). CHOSEN: the rule for η; the notes that it is known from would forget fastest where the
 * policy does not move.
 */

import { MethodSettingsError } from "./errors.ts";

export interface Beta {
  readonly a: number;
  readonly b: number;
}

export interface Forgetting {
  readonly least: number;
  readonly most: number;
  /** KL_target, nats a token. */
  readonly klTarget: number;
}

export const betaMean = ({ a, b }: Beta): number => a / (a + b);

/** @param outcome r, in [0, 1] @param keep η */
export const betaAfter = ({ a, b }: Beta, outcome: number, keep: number): Beta => ({
  a: keep * a + outcome,
  b: keep * b + 1 - outcome,
});

/** η. @param kls of recent steps; none: nothing has moved. */
export function keptShare(kls: readonly number[], { least, most, klTarget }: Forgetting): number {
  const mean = kls.length === 0 ? 0 : kls.reduce((sum, kl) => sum + kl, 0) / kls.length;
  return most - Math.min(Math.max(mean, 0) / klTarget, 1) * (most - least);
}

/** √(v̂ (1 − v̂)): a task that is always or never solved weighs nothing. */
export const taskWeight = (solved: number): number => Math.sqrt(solved * (1 - solved));

export interface TrackerState {
  readonly tasks: Readonly<Record<string, Beta>>;
  /** Of recent steps, oldest first. */
  readonly kls: readonly number[];
}

/** How many tasks are known, and the mean of v̂ over them. */
export function trackerMetrics({ tasks }: TrackerState): Readonly<Record<string, number>> {
  const means = Object.values(tasks).map(betaMean);
  if (means.length === 0) return {};
  const sum = means.reduce((total, mean) => total + mean, 0);
  return { trackedTasks: means.length, trackedBaseline: sum / means.length };
}

/** From a checkpoint. @throws MethodSettingsError E_METHOD_STATE */
export function readTracker(state: unknown): TrackerState {
  if (typeof state === "object" && state !== null && "tasks" in state && "kls" in state) {
    const { tasks, kls } = state;
    if (
      typeof tasks === "object" &&
      tasks !== null &&
      Object.values(tasks).every(isBeta) &&
      Array.isArray(kls) &&
      kls.every(Number.isFinite)
    )
      return { tasks: tasks as Readonly<Record<string, Beta>>, kls };
  }
  throw new MethodSettingsError({
    code: "E_METHOD_STATE",
    message: "The checkpoint's memory of tasks is not a and b a task, with the KLs of recent steps.",
    hint: "it is of a run with another method, or damaged; begin anew with --fresh.",
  });
}

const isBeta = (value: unknown): value is Beta =>
  typeof value === "object" &&
  value !== null &&
  "a" in value &&
  "b" in value &&
  Number.isFinite(value.a) &&
  Number.isFinite(value.b);
