/**
 * @file One row of a distribution to one token.
 *
 * Order of the steps, as in Hugging Face `generate` (processors, then warpers: temperature, top-k, top-p, min-p)
 * and vLLM (which applies min-p before top-k; the set is the same unless both cut):
 *
 * 1. `logitBias` is added;
 * 2. repetition penalty r on tokens of prompt and output: z > 0 ? z / r : z · r (Keskar et al., 2019);
 * 3. presence penalty is subtracted for tokens of the output;
 * 4. division by the temperature (0: the largest logit wins, the lowest id among equals);
 * 5. tokens outside the allowed set are removed;
 * 6. top-k: values below the k-th largest are removed (equals of the k-th stay);
 * 7. top-p over what is left, renormalised: the smallest set of largest values whose mass reaches p (among equals
 *    the lower id first);
 * 8. min-p over what is left: less probable than minP × the largest are removed.
 *
 * The draw is the inverse of the cumulative distribution in the order of token ids, with one uniform number.
 */

import { NonFiniteLogitsError, NoTokenAllowedError } from "./errors.ts";
import { kthLargest, type MassThreshold, massSlack, massThreshold } from "./selection.ts";
import type { TokenRules } from "./token-rules.ts";

/** What a row of the full path draws from. */
export interface ChoiceContext {
  readonly rules: TokenRules;
  /** Distinct tokens of prompt and output, then how many; only read if there is a repetition penalty. */
  readonly seen: Int32Array;
  readonly seenCount: number;
  /** Distinct tokens of the output; only read if there is a presence penalty. */
  readonly produced: Int32Array;
  readonly producedCount: number;
  /** Ascending ids that may be sampled; null = all. */
  readonly allowed: Int32Array | null;
}

export class TokenChooser {
  /** The last choice. */
  token = 0;
  /** Log-prob under the distribution that was sampled from; 0 where greedy. */
  logprob = 0;
  /** Log-prob under the plain softmax of the logits. */
  plainLogprob = 0;

  readonly #vocabularySize: number;
  readonly #block: number;
  readonly #blocks: number;
  /** [V] logits after steps 1 to 3, by token id. */
  readonly #adjusted: Float64Array;
  /** Compact lists of candidates, ascending by id. */
  readonly #ids: Int32Array;
  readonly #scores: Float64Array;
  readonly #scratch: Float64Array;
  readonly #threshold: MassThreshold = { value: 0, ties: 0 };

  /** `block` is the number of tokens that each block sum covers; 0 = there are none. */
  constructor(vocabularySize: number, block: number) {
    this.#vocabularySize = vocabularySize;
    this.#block = block;
    this.#blocks = block > 0 ? vocabularySize / block : 0;
    this.#adjusted = new Float64Array(vocabularySize);
    this.#ids = new Int32Array(vocabularySize);
    this.#scores = new Float64Array(vocabularySize);
    this.#scratch = new Float64Array(vocabularySize);
  }

  /**
   * Temperature sampling: `probabilities` [rows, V] are drawn from, `plain` [rows, V] are those at temperature 1
   * (the same array where that is the temperature), `sums` [rows, V / block] the block sums of the former. `logits`
   * may be null where the two are the same.
   */
  draw(
    probabilities: Float32Array,
    plain: Float32Array,
    sums: Float32Array,
    logits: Float32Array | null,
    row: number,
    uniform: number,
  ): void {
    const first = row * this.#vocabularySize;
    const token =
      this.#blocks > 0
        ? this.#drawByBlocks(probabilities, sums, first, row * this.#blocks, uniform)
        : this.#drawByScan(probabilities, first, uniform);
    this.token = token;
    this.logprob = Math.log(probabilities[first + token]!);
    this.plainLogprob = logits
      ? this.#plainLogprob(logits, plain, first)
      : plain === probabilities
        ? this.logprob
        : Math.log(plain[first + token]!);
  }

  #drawByBlocks(
    probabilities: Float32Array,
    sums: Float32Array,
    first: number,
    firstSum: number,
    uniform: number,
  ): number {
    const blocks = this.#blocks;
    let total = 0;
    for (let b = 0; b < blocks; b++) total += sums[firstSum + b]!;
    if (!(total > 0.5 && total < 1.5)) throw notFinite("probabilities");
    const target = uniform * total;
    let mass = 0;
    let chosen = blocks - 1;
    for (let b = 0; b < blocks; b++) {
      const sum = sums[firstSum + b]!;
      if (mass + sum > target) {
        chosen = b;
        break;
      }
      mass += sum;
    }
    // Rounding may leave nothing at the end of the last block: step back to a block with mass.
    while (chosen > 0 && sums[firstSum + chosen] === 0) chosen--;
    const low = first + chosen * this.#block;
    return scan(probabilities, low, low + this.#block, target - mass) - first;
  }

  #drawByScan(probabilities: Float32Array, first: number, uniform: number): number {
    const end = first + this.#vocabularySize;
    let total = 0;
    for (let i = first; i < end; i++) total += probabilities[i]!;
    if (!(total > 0.5 && total < 1.5)) throw notFinite("probabilities");
    return scan(probabilities, first, end, uniform * total) - first;
  }

  /** The whole list of steps, on `logits` [rows, V] and their softmax `plain` [rows, V]. */
  choose(
    logits: Float32Array,
    plain: Float32Array,
    row: number,
    context: ChoiceContext,
    uniform: number,
  ): void {
    const first = row * this.#vocabularySize;
    const count = this.#adjust(logits, first, context);
    if (context.rules.greedy) this.#chooseLargest(count);
    else this.#chooseByDraw(count, context.rules, uniform);
    this.plainLogprob = this.#plainLogprob(logits, plain, first);
  }

  /** Steps 1 to 5, and the check for numbers; returns the number of candidates. */
  #adjust(logits: Float32Array, first: number, context: ChoiceContext): number {
    const { rules, allowed } = context;
    const adjusted = this.#adjusted;
    const vocabulary = this.#vocabularySize;
    let sum = 0;
    for (let id = 0; id < vocabulary; id++) {
      const logit = logits[first + id]!;
      sum += logit;
      adjusted[id] = logit;
    }
    if (!Number.isFinite(sum)) throw notFinite("logits");
    if (rules.reshapes) {
      const { biasTokens, biases, repetitionPenalty, presencePenalty } = rules;
      for (let i = 0; i < biasTokens.length; i++) adjusted[biasTokens[i]!]! += biases[i]!;
      if (repetitionPenalty !== 1)
        for (let i = 0; i < context.seenCount; i++) {
          const id = context.seen[i]!;
          const logit = adjusted[id]!;
          adjusted[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
        }
      if (presencePenalty !== 0)
        for (let i = 0; i < context.producedCount; i++) adjusted[context.produced[i]!]! -= presencePenalty;
    }
    const ids = this.#ids;
    const scores = this.#scores;
    const total = allowed ? allowed.length : vocabulary;
    let count = 0;
    for (let i = 0; i < total; i++) {
      const id = allowed ? allowed[i]! : i;
      const score = adjusted[id]! * rules.inverseTemperature;
      if (score === Number.NEGATIVE_INFINITY) continue;
      ids[count] = id;
      scores[count++] = score;
    }
    if (count === 0)
      throw new NoTokenAllowedError({
        code: "E_NO_TOKEN_ALLOWED",
        message: `Of ${total} allowed tokens, logitBias forbids every one: nothing is left to sample.`,
        hint: "check logitBias against the allowed tokens of the request.",
        facts: { allowed: total },
      });
    return count;
  }

  #chooseLargest(count: number): void {
    const scores = this.#scores;
    let best = 0;
    for (let i = 1; i < count; i++) if (scores[i]! > scores[best]!) best = i;
    this.token = this.#ids[best]!;
    this.logprob = 0;
  }

  /** Steps 6 to 8 and the draw. */
  #chooseByDraw(count: number, rules: TokenRules, uniform: number): void {
    const scores = this.#scores;
    const scratch = this.#scratch;
    let largest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i++) if (scores[i]! > largest) largest = scores[i]!;
    let floor = Number.NEGATIVE_INFINITY;
    if (rules.topK > 0 && rules.topK < count) {
      scratch.set(scores.subarray(0, count));
      floor = kthLargest(scratch, count, rules.topK);
    }
    // From here `scores` are weights relative to the largest.
    let total = 0;
    let left = 0;
    for (let i = 0; i < count; i++) {
      const weight = scores[i]! >= floor ? Math.exp(scores[i]! - largest) : 0;
      scores[i] = weight;
      total += weight;
      if (weight > 0) scratch[left++] = weight;
    }
    let least = rules.minP;
    let ties = count;
    if (rules.topP < 1) {
      const { value, ties: kept } = massThreshold(
        scratch,
        left,
        Math.max(rules.topP - massSlack, rules.topP / 2) * total,
        this.#threshold,
      );
      if (value >= least) {
        least = value;
        ties = kept;
      }
    }
    // `ties` of the weights equal to `least` stay; for min-p that is all of them.
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const weight = scores[i]!;
      if (weight > least || (weight === least && ties-- > 0)) kept += weight;
      else scores[i] = 0;
    }
    const target = uniform * kept;
    const chosen = scan(scores, 0, count, target);
    this.token = this.#ids[chosen]!;
    this.logprob = Math.log(scores[chosen]! / kept);
  }

  #plainLogprob(logits: Float32Array, plain: Float32Array, first: number): number {
    const probability = plain[first + this.token]!;
    if (probability > 1e-30) return Math.log(probability);
    // The softmax underflowed (a bias or a mask chose a very improbable token): from the logits.
    let largest = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < this.#vocabularySize; id++) largest = Math.max(largest, logits[first + id]!);
    let sum = 0;
    for (let id = 0; id < this.#vocabularySize; id++) sum += Math.exp(logits[first + id]! - largest);
    return logits[first + this.token]! - largest - Math.log(sum);
  }
}

/** First index in [low, high) at which the running sum exceeds `target`; the last one with weight if rounding keeps it below. */
function scan(weights: Float32Array | Float64Array, low: number, high: number, target: number): number {
  let mass = 0;
  let last = low;
  for (let i = low; i < high; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    mass += weight;
    last = i;
    if (mass > target) break;
  }
  return last;
}

function notFinite(what: string): NonFiniteLogitsError {
  return new NonFiniteLogitsError({
    code: "E_LOGITS_NOT_FINITE",
    message: `The model's ${what} for the next token contain NaN or infinity.`,
    hint: "the weights have diverged or the checkpoint is damaged: go back to an earlier checkpoint, and lower the learning rate.",
  });
}
