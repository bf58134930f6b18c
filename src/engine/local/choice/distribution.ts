/**
 * @file Logits of K choices to probabilities: what is sampled from, and the log-probs, entropies and gradients of training.
 * The steps and their order are those of `sampling/choose-token.ts`; here the whole distribution is needed, because with
 * exploration the log-prob of what was taken is that of a mixture.
 */

import { NonFiniteLogitsError, NoTokenAllowedError } from "../sampling/errors.ts";
import { massSlack } from "../sampling/selection.ts";
import type { TokenRules } from "../sampling/token-rules.ts";

export interface DistributionContext {
  /** Its bias tokens are places in the list of choices. */
  readonly rules: TokenRules;
  /** Places that may be chosen, ascending. */
  readonly allowed: readonly number[];
  /** Places of choices that the prompt has; read only with a repetition penalty. */
  readonly seen: readonly number[];
  /** [K] added to the logits. */
  readonly bonus?: Float64Array;
}

/**
 * [K] probabilities after biases, penalties, bonus, temperature and filters; greedy: 1 for the largest, the lowest among
 * equals.
 * @throws NoTokenAllowedError, NonFiniteLogitsError
 */
export function sampledDistribution(
  logits: Float32Array,
  { rules, allowed, seen, bonus }: DistributionContext,
): Float64Array {
  if (!logits.every(Number.isFinite))
    throw new NonFiniteLogitsError({
      code: "E_LOGITS_NOT_FINITE",
      message: "A choice policy's logits contain NaN or infinity.",
      hint: "the weights have diverged: go back to an earlier checkpoint, and lower the learning rate.",
    });
  const scores = Float64Array.from(logits);
  for (const [i, place] of rules.biasTokens.entries()) scores[place]! += rules.biases[i]!;
  for (const place of rules.repetitionPenalty === 1 ? [] : seen) {
    const score = scores[place]!;
    scores[place] = score > 0 ? score / rules.repetitionPenalty : score * rules.repetitionPenalty;
  }
  if (bonus) for (let place = 0; place < scores.length; place++) scores[place]! += bonus[place]!;
  // The most probable first; the lower place first among equals.
  const places = allowed
    .filter((place) => scores[place]! > Number.NEGATIVE_INFINITY)
    .sort((a, b) => scores[b]! - scores[a]! || a - b);
  const probabilities = new Float64Array(logits.length);
  const [best] = places;
  if (best === undefined)
    throw new NoTokenAllowedError({
      code: "E_NO_TOKEN_ALLOWED",
      message: `Of ${logits.length} choices the request allows ${allowed.length}, and its logitBias forbids those: nothing is left to choose.`,
      hint: "check allowedTokens and logitBias against the ids of the choices.",
      facts: { allowed: allowed.length },
    });
  if (rules.greedy) {
    probabilities[best] = 1;
    return probabilities;
  }
  const largest = scores[best]!;
  const weightOf = (place: number) => Math.exp((scores[place]! - largest) * rules.inverseTemperature);
  let kept = places;
  if (rules.topK > 0 && rules.topK < kept.length) {
    const floor = scores[kept[rules.topK - 1]!]!;
    kept = kept.filter((place) => scores[place]! >= floor);
  }
  if (rules.topP < 1) {
    const total = sum(kept.map(weightOf));
    const wanted = Math.max(rules.topP - massSlack, rules.topP / 2) * total;
    let mass = 0;
    const end = kept.findIndex((place) => {
      mass += weightOf(place);
      return mass >= wanted;
    });
    kept = kept.slice(0, end + 1);
  }
  kept = kept.filter((place) => weightOf(place) >= rules.minP);
  const total = sum(kept.map(weightOf));
  for (const place of kept) probabilities[place] = weightOf(place) / total;
  return probabilities;
}

/** Inverse of the cumulative distribution in the order of places. */
export function drawPlace(probabilities: Float64Array, uniform: number): number {
  let mass = 0;
  let last = 0;
  for (let place = 0; place < probabilities.length; place++) {
    if (probabilities[place] === 0) continue;
    mass += probabilities[place]!;
    last = place;
    if (mass > uniform) break;
  }
  return last;
}

/** The plain softmax of K logits over a temperature, in float64. */
export interface ScoredChoice {
  /** [K] */
  readonly probabilities: Float64Array;
  /** [K] log-probs. */
  readonly logprobs: Float64Array;
  /** Nats. */
  readonly entropy: number;
}

export function scoreChoices(logits: Float32Array, temperature: number): ScoredChoice {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit / temperature);
  let mass = 0;
  for (const logit of logits) mass += Math.exp(logit / temperature - largest);
  const normaliser = largest + Math.log(mass);
  const logprobs = Float64Array.from(logits, (logit) => logit / temperature - normaliser);
  const probabilities = logprobs.map(Math.exp);
  let entropy = 0;
  for (let j = 0; j < logprobs.length; j++)
    if (probabilities[j]! > 0) entropy -= probabilities[j]! * logprobs[j]!;
  return { probabilities, logprobs, entropy };
}

/**
 * Writes ∂L/∂z of one row, given g = ∂L/∂ℓ and h = ∂L/∂H:
 * ∂L/∂z_j = (g·(1[j = y] − p_j) − h·p_j·(log p_j + H)) / τ.
 */
export function logitGradients(
  { probabilities, logprobs, entropy }: ScoredChoice,
  place: number,
  temperature: number,
  g: number,
  h: number,
  out: Float32Array,
): void {
  for (let j = 0; j < out.length; j++) {
    const p = probabilities[j]!;
    const shape = p === 0 ? 0 : h * p * (logprobs[j]! + entropy);
    out[j] = (g * ((j === place ? 1 : 0) - p) - shape) / temperature;
  }
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
