/**
 * @file What is believed of an arm after some rewards: a Beta posterior for rewards in [0, 1], and a Gaussian one with
 * unknown mean and variance (normal-inverse-gamma). Priors are those of the public AB-MCTS code (SakanaAI/treequest
 * v0.1.0, which MARTI's search is built on).
 */

import type { Stream } from "../random/stream.ts";
import { SearchError } from "./errors.ts";
import { gamma } from "./gamma.ts";
import type { Moments } from "./moments.ts";

export interface Posterior {
  readonly name: "beta" | "gaussian";
  /** Of the expected reward. */
  mean(observations: Moments): number;
  /** One draw of the expected reward. */
  sample(observations: Moments, random: Stream): number;
  /** @throws SearchError if a reward is outside of what this posterior describes. */
  check(value: number, index: number): void;
}

export interface BetaPrior {
  readonly a: number;
  readonly b: number;
}

/** Jeffreys' prior. */
export const jeffreys: BetaPrior = Object.freeze({ a: 0.5, b: 0.5 });

/** a += r, b += 1 − r for every reward r. */
export function betaAfter(prior: BetaPrior, { count, mean }: Moments): BetaPrior {
  const sum = count * mean;
  return { a: prior.a + sum, b: prior.b + count - sum };
}

export function beta(prior: BetaPrior = jeffreys): Posterior {
  return {
    name: "beta",
    mean: (observations) => {
      const { a, b } = betaAfter(prior, observations);
      return a / (a + b);
    },
    sample: (observations, random) => {
      const { a, b } = betaAfter(prior, observations);
      const x = gamma(a, random);
      const y = gamma(b, random);
      // Both underflow only where the prior is close to nothing; the draw is then at one of the ends.
      if (x + y === 0) return random.uniform() * (a + b) < a ? 1 : 0;
      return x / (x + y);
    },
    check: (value, index) => {
      if (value >= 0 && value <= 1) return;
      throw new SearchError({
        code: "E_SEARCH_REWARD_RANGE",
        message: `Node ${index} has the value ${value}; the Beta posterior takes rewards from 0 to 1.`,
        hint: "bring `value` to [0, 1], or use `posterior: gaussian()`.",
        facts: { index, value },
      });
    },
  };
}

/** Normal-inverse-gamma: mean ~ N(mean, σ²/kappa), σ² ~ InvGamma(nu/2, nu·variance/2). */
export interface GaussianPrior {
  readonly mean: number;
  readonly kappa: number;
  readonly nu: number;
  readonly variance: number;
}

export const gaussianPrior: GaussianPrior = Object.freeze({ mean: 0, kappa: 1, nu: 1, variance: 0.1 });

/** κ' = κ + n, ν' = ν + n, m' = (κm + n·x̄)/κ', τ²' = (ντ² + S + nκ(m − x̄)²/(κ + n))/ν'. */
export function gaussianAfter(prior: GaussianPrior, { count, mean, squares }: Moments): GaussianPrior {
  const kappa = prior.kappa + count;
  const nu = prior.nu + count;
  const surprise = (count * prior.kappa * (prior.mean - mean) ** 2) / kappa;
  return {
    mean: (prior.kappa * prior.mean + count * mean) / kappa,
    kappa,
    nu,
    variance: (prior.nu * prior.variance + squares + surprise) / nu,
  };
}

export function gaussian(prior: GaussianPrior = gaussianPrior): Posterior {
  return {
    name: "gaussian",
    mean: (observations) => gaussianAfter(prior, observations).mean,
    sample: (observations, random) => {
      const { mean, kappa, nu, variance } = gaussianAfter(prior, observations);
      const drawn = (nu * variance) / 2 / gamma(nu / 2, random);
      return mean + random.normal() * Math.sqrt(drawn / kappa);
    },
    check: () => {},
  };
}
