/**
 * @file The clipped value loss: ½ max((v − R)², (clip(v, v_old ± ε) − R)²), with its gradient ∂L/∂v.
 * Source: Schulman et al.'s PPO implementation (openai/baselines), as in verl and UnityMAS-O, ε = 0.5.
 */

export interface ValueToken {
  readonly loss: number;
  /** ∂/∂v */
  readonly gradient: number;
  readonly clipped: boolean;
}

/** One token. `range`: ε; Infinity for the plain squared error. */
export function valueLoss(value: number, oldValue: number, target: number, range: number): ValueToken {
  const bounded = Math.min(Math.max(value, oldValue - range), oldValue + range);
  const plain = (value - target) ** 2;
  const clipped = (bounded - target) ** 2;
  // Where the bounded branch is the larger, it does not depend on v.
  return clipped > plain
    ? { loss: clipped / 2, gradient: 0, clipped: true }
    : { loss: plain / 2, gradient: value - target, clipped: false };
}
