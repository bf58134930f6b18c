/**
 * @file How sure an agent was of a call, as a factor of its reward. "likelihood" is exp(mean ℓ) of what was sampled, the
 * geometric mean of its tokens' probabilities.
 */

import { MethodSettingsError } from "./errors.ts";
import type { RewardedCall, RewardedEpisode } from "./method.ts";

/** "none": 1. */
export type Confidence = "likelihood" | "none" | ((call: RewardedCall, episode: RewardedEpisode) => number);

/**
 * A factor of a call's reward; 1 where the call is not trained.
 * @param method whose setting it is, for the error
 * @throws MethodSettingsError E_CONFIDENCE where it is not a finite number.
 */
export function sureness(
  method: string,
  call: RewardedCall,
  episode: RewardedEpisode,
  confidence: Confidence,
): number {
  // Another policy's call, or one without tokens, is not trained here.
  if (confidence === "none" || call.frozen === true || call.length === 0) return 1;
  const value =
    typeof confidence === "function" ? confidence(call, episode) : Math.exp(call.meanLogprob ?? Number.NaN);
  if (Number.isFinite(value)) return value;
  throw new MethodSettingsError({
    code: "E_CONFIDENCE",
    message: `${method} does not know how sure agent "${call.agent}" was of a call of episode ${episode.id ?? "?"}: its confidence is ${value}.`,
    hint: 'give a function that returns a finite number for every call, or set `confidence: "none"`.',
    facts: { agent: call.agent },
  });
}
