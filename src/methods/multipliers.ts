/**
 * @file Lagrange multipliers of constraints J_i ≥ θ_i or J_i = θ_i, and their dual step:
 *
 *   λ_i = σ(raw_i) | tanh(raw_i) | raw_i        v ← m v + λ'(raw) (Ĵ − θ)        raw ← raw − η v
 *
 * A multiplier falls while its reward is above the threshold, and rises below it. Of plain multipliers raw stays at least
 * 0. Source: Moskovitz et al. (arXiv 2310.04373) and its official code (SGD of PyTorch: the first v is the slope itself).
 */

import { MethodSettingsError } from "./errors.ts";

/** Closed. */
export type MultiplierForm =
  /** λ in (0, 1): each reward at least at its threshold. */
  | "sigmoid"
  /** λ in (−1, 1): each reward at its threshold, from both sides. */
  | "tanh"
  /** λ = raw ≥ 0, without bound. */
  | "plain";

/** [N] each. */
export interface Multipliers {
  readonly raw: readonly number[];
  readonly velocity: readonly number[];
}

export interface DualStepSettings {
  readonly form: MultiplierForm;
  /** η */
  readonly learningRate: number;
  /** m */
  readonly momentum: number;
  /** The slopes' norm is at most this. Default: no bound. */
  readonly maxGradientNorm?: number;
}

export function multiplierOf(form: MultiplierForm, raw: number): number {
  if (form === "plain") return raw;
  return form === "sigmoid" ? 1 / (1 + Math.exp(-raw)) : Math.tanh(raw);
}

/** λ'(raw). */
export function multiplierSlope(form: MultiplierForm, raw: number): number {
  const value = multiplierOf(form, raw);
  if (form === "plain") return 1;
  return form === "sigmoid" ? value * (1 - value) : 1 - value * value;
}

/** [N + 1] weights of the advantages: first of what is constrained, then of each constraint. Squashed ones sum to N. */
export function streamWeights(form: MultiplierForm, raw: readonly number[]): readonly number[] {
  const lambdas = raw.map((value) => multiplierOf(form, value));
  const first = form === "plain" ? 1 : lambdas.length - lambdas.reduce((sum, value) => sum + value, 0);
  return [first, ...lambdas];
}

/** `excess`: [N] Ĵ_i − θ_i. */
export function dualStep(
  { raw, velocity }: Multipliers,
  excess: readonly number[],
  { form, learningRate, momentum, maxGradientNorm = Number.POSITIVE_INFINITY }: DualStepSettings,
): Multipliers {
  const slopes = raw.map((value, i) => multiplierSlope(form, value) * excess[i]!);
  const norm = Math.hypot(...slopes);
  const scale = norm > maxGradientNorm ? maxGradientNorm / norm : 1;
  const moved = velocity.map((value, i) => momentum * value + scale * slopes[i]!);
  const next = raw.map((value, i) => value - learningRate * moved[i]!);
  return { raw: form === "plain" ? next.map((value) => Math.max(0, value)) : next, velocity: moved };
}

/** From a checkpoint, by name. @throws MethodSettingsError E_METHOD_STATE */
export function readMultipliers(method: string, names: readonly string[], state: unknown): Multipliers {
  const given = typeof state === "object" && state !== null ? (state as Record<string, unknown>) : {};
  const known = Object.keys(given).length === names.length;
  const pairs = names.map((name) => given[name]);
  if (known && pairs.every(isPair))
    return { raw: pairs.map(({ raw }) => raw), velocity: pairs.map(({ velocity }) => velocity) };
  throw new MethodSettingsError({
    code: "E_METHOD_STATE",
    message: `The checkpoint's multipliers of ${method} are not a raw value and a velocity for each of ${names.join(", ")}.`,
    hint: "it is of a run with other constraints, or damaged; begin anew with --fresh.",
    facts: { method, names },
  });
}

interface Pair {
  readonly raw: number;
  readonly velocity: number;
}

const isPair = (value: unknown): value is Pair =>
  typeof value === "object" &&
  value !== null &&
  "raw" in value &&
  "velocity" in value &&
  Number.isFinite(value.raw) &&
  Number.isFinite(value.velocity);
