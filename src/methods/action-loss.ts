/**
 * @file The clipped surrogate where a whole call is one action, as in one-step episodes:
 *
 *   ρ = clamp(exp Σ_t (ℓ_t − ℓ_old,t), least, most),   L = 1/N Σ_i [ max(−A ρ, −A clip(ρ, 1 ± ε)) + c_v (v − ret)² − c_H Σ_t H_t ]
 *   ∂L/∂ℓ_t = −A ρ / N on every token where the first branch is the larger and the clamp does nothing, else 0
 *
 * A, v and ret are those of the call's first token: v of the position before it, which is the end of the prompt. With one
 * token a call all of it is plain PPO. Where both branches are equal the gradient is that of the first.
 *
 * Source: MixRAGRec's MMAPO (official code), whose selector and aligner are trained so.
 */

import { LossError } from "./errors.ts";
import { spreadOf } from "./group-advantage.ts";
import { checkLossShapes, TokenSums } from "./loss/token-loss.ts";
import type { LossInput, LossOutput } from "./method.ts";

export interface ActionLossSettings {
  /** ε */
  readonly clip: number;
  /** Bounds of ρ before it is clipped. Default: none. */
  readonly clamp?: readonly [number, number];
  /** c_v; 0: no value head. */
  readonly valueCoefficient: number;
  /** c_H */
  readonly entropyCoefficient: number;
  /** "plain": L = −A Σ ℓ, as REINFORCE has it. Default "clipped". */
  readonly surrogate?: "clipped" | "plain";
}

/** @throws LossError E_LOSS_SHAPE, E_LOSS_NOT_FINITE */
export function actionLoss(input: LossInput, settings: ActionLossSettings): LossOutput {
  const { clip, clamp, valueCoefficient, entropyCoefficient, surrogate = "clipped" } = settings;
  const wantsValues = valueCoefficient > 0;
  checkLossShapes(input, entropyCoefficient > 0 ? ["entropies"] : []);
  if (wantsValues) checkValues(input);
  const { lengths, logprobs, oldLogprobs, advantages, mask, importance, totals, entropies } = input;
  const g = new Float32Array(logprobs.length);
  const h = entropyCoefficient > 0 ? new Float32Array(logprobs.length) : undefined;
  const c = wantsValues ? new Float32Array(logprobs.length) : undefined;
  const sums = new TokenSums();
  const w = 1 / totals.sequences;
  let loss = 0;
  let valueSum = 0;
  let entropySum = 0;
  let at = 0;
  for (const length of lengths) {
    const tokens: number[] = [];
    for (const end = at + length; at < end; at++) if (mask === undefined || mask[at] === 1) tokens.push(at);
    if (tokens.length === 0) continue;
    const first = tokens[0]!;
    const a = advantages[first]!;
    const difference = sumOf(tokens, (t) => logprobs[t]! - oldLogprobs[t]!);
    const u = importance === undefined ? 1 : sumOf(tokens, (t) => importance[t]!) / tokens.length;
    const free = Math.exp(difference);
    const ratio = clamp === undefined ? free : bounded(free, ...clamp);
    const plain = surrogate === "plain";
    const moved = -a * ratio;
    const held = -a * bounded(ratio, 1 - clip, 1 + clip);
    const clipped = !plain && (held > moved || ratio !== free);
    loss += w * u * (plain ? -a * sumOf(tokens, (t) => logprobs[t]!) : Math.max(moved, held));
    const slope = clipped ? 0 : w * u * (plain ? -a : moved);
    for (const t of tokens) {
      g[t] = slope;
      sums.add(logprobs[t]!, oldLogprobs[t]!, clipped, ratio);
      if (h === undefined) continue;
      loss -= w * entropyCoefficient * entropies![t]!;
      h[t] = -w * entropyCoefficient;
      entropySum += entropies![t]!;
    }
    if (c !== undefined) {
      const error = input.values![first]! - input.returns![first]!;
      loss += w * valueCoefficient * error ** 2;
      c[first] = 2 * w * valueCoefficient * error;
      valueSum += error ** 2 * tokens.length;
    }
  }
  const output = sums.output(loss, g, lengths.length);
  const { statistics } = output;
  return {
    loss,
    gradients: {
      logprobs: g,
      ...(h === undefined ? {} : { entropies: h }),
      ...(c === undefined ? {} : { values: c }),
    },
    statistics: {
      ...statistics,
      sums: {
        ...statistics.sums,
        ...(h === undefined ? {} : { entropy: entropySum }),
        ...(c === undefined ? {} : { valueLoss: valueSum }),
      },
    },
  };
}

/**
 * [n] (δ − mean) / (σ + ε), σ with n − 1. One value alone, and values without spread, give zeros: there is nothing to
 * compare, and ε would make advantages of float noise.
 */
export function normalisedActions(values: readonly number[], epsilon: number): number[] {
  if (values.length === 0) return [];
  const { mean, deviation } = spreadOf(values, 1);
  const scale = deviation < 1e-6 ? 0 : 1 / (deviation + epsilon);
  return values.map((value) => (value - mean) * scale);
}

const bounded = (value: number, least: number, most: number) => Math.min(Math.max(value, least), most);

const sumOf = (tokens: readonly number[], of: (token: number) => number) =>
  tokens.reduce((sum, token) => sum + of(token), 0);

function checkValues({ logprobs, values, returns }: LossInput): void {
  for (const [name, found] of Object.entries({ values, returns })) {
    if (found?.length === logprobs.length) continue;
    throw new LossError({
      code: "E_LOSS_SHAPE",
      message: `The microbatch has ${logprobs.length} log-probs, but ${name} ${found === undefined ? "is missing" : `has ${found.length}`}.`,
      hint: "every scored token needs one entry in each array; give the policy one value head.",
    });
  }
}
