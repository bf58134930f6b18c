/** @file Sampling settings, checked and compiled: what a row needs beyond a plain draw. */

import type { SamplingSettings } from "../../policy.ts";
import { InvalidSampleRequestError } from "./errors.ts";

export interface TokenRules {
  readonly greedy: boolean;
  /** 1 / temperature; 1 where greedy. */
  readonly inverseTemperature: number;
  /** 0 = all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly biasTokens: Int32Array;
  readonly biases: Float64Array;
  /** Logits change before temperature: bias or penalties. */
  readonly reshapes: boolean;
  /** top-k, top-p or min-p. */
  readonly filters: boolean;
}

function refuse(field: string, value: unknown, rule: string): never {
  throw new InvalidSampleRequestError({
    code: "E_SAMPLE_REQUEST",
    message: `sampling.${field} is ${String(value)}; it must be ${rule}.`,
    hint: `set ${field} within that range, or leave it out.`,
    facts: { field, value },
  });
}

/** Throws E_SAMPLE_REQUEST for a setting that has no meaning. */
export function compileRules(settings: SamplingSettings | undefined, vocabularySize: number): TokenRules {
  const {
    temperature = 1,
    topK = 0,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    presencePenalty = 0,
    logitBias = {},
  } = settings ?? {};
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
    refuse("temperature", temperature, "0 (greedy) or a positive number");
  if (temperature > 0 && temperature < 1e-4)
    refuse("temperature", temperature, "0 (greedy) or at least 0.0001, below which logits overflow");
  if (!(Number.isInteger(topK) && topK >= 0)) refuse("topK", topK, "an integer ≥ 0 (0 = all)");
  if (!(topP > 0 && topP <= 1)) refuse("topP", topP, "above 0 and at most 1");
  if (!(minP >= 0 && minP <= 1)) refuse("minP", minP, "between 0 and 1");
  if (!(repetitionPenalty > 0 && repetitionPenalty < Number.POSITIVE_INFINITY))
    refuse("repetitionPenalty", repetitionPenalty, "a positive number");
  if (!Number.isFinite(presencePenalty)) refuse("presencePenalty", presencePenalty, "a finite number");
  const entries = Object.entries(logitBias).map(([id, bias]) => [Number(id), bias] as const);
  for (const [id, bias] of entries) {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabularySize))
      refuse("logitBias", `for token ${id}`, `for token ids from 0 to ${vocabularySize - 1}`);
    if (Number.isNaN(bias) || bias === Number.POSITIVE_INFINITY)
      refuse("logitBias", `${bias} for token ${id}`, "a finite number, or -Infinity to forbid the token");
  }
  return {
    greedy: temperature === 0,
    inverseTemperature: temperature === 0 ? 1 : 1 / temperature,
    topK: topK >= vocabularySize ? 0 : topK,
    topP,
    minP,
    repetitionPenalty,
    presencePenalty,
    biasTokens: Int32Array.from(entries, ([id]) => id),
    biases: Float64Array.from(entries, ([, bias]) => bias),
    reshapes: entries.length > 0 || repetitionPenalty !== 1 || presencePenalty !== 0,
    filters: (topK > 0 && topK < vocabularySize) || topP < 1 || minP > 0,
  };
}
