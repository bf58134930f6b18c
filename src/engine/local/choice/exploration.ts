/**
 * @file Exploration of a choice policy beyond its own entropy: ε-greedy and a bonus for choices that were rarely learnt from.
 *
 * b(a) = ε/|A| + (1 − ε)·softmax((z + β/√(N + 1))/τ)(a),  ε = max(floor, start · decay^ΣN)
 *
 * Source: the published code of MixRAGRec (MMAPO): ε = 0.5, × 0.9995, floor 0.1, β = 0.2. There a log-prob is stored that
 * is not that of the distribution which acted. Changed: the recorded log-prob is log b(a) of the choice that was taken.
 * CHOSEN: β/√(N + 1) is added to the logits; N(a) counts the rows with a that backward passes saw, and grows at the
 * optimiser step. So b depends on the weights' history alone, as AdamW's moments do: neither the order of samples nor an
 * evaluation changes it, and a run that goes on from a checkpoint draws the same. With e epochs a row counts e times.
 */

import { wrongChoiceSetting } from "./errors.ts";

export interface ExplorationSettings {
  /** Share of uniform choices. `true`: the published 0.5, × 0.9995 a row, at least 0.1. Default: none. */
  readonly epsilon?: true | { readonly start: number; readonly decay: number; readonly floor: number };
  /** β of the count bonus; published: 0.2. Default 0: none. */
  readonly countBonus?: number;
}

const published = { start: 0.5, decay: 0.9995, floor: 0.1 } as const;

export class Exploration {
  readonly #epsilon: { readonly start: number; readonly decay: number; readonly floor: number };
  readonly #countBonus: number;
  /** [K] N(a). */
  readonly #counts: Float64Array;
  /** [K] rows since the last optimiser step. */
  readonly #waiting: Float64Array;

  /** @throws ChoicePolicyError E_CHOICE_SETTINGS */
  constructor(choices: number, { epsilon, countBonus = 0 }: ExplorationSettings = {}) {
    this.#epsilon = epsilon === true ? published : (epsilon ?? { start: 0, decay: 1, floor: 0 });
    this.#countBonus = countBonus;
    for (const [name, value] of Object.entries(this.#epsilon))
      if (!(value >= 0 && value <= 1))
        throw wrongChoiceSetting(`exploration.epsilon.${name}`, value, "from 0 to 1");
    if (!(countBonus >= 0 && Number.isFinite(countBonus)))
      throw wrongChoiceSetting("exploration.countBonus", countBonus, "at least 0");
    this.#counts = new Float64Array(choices);
    this.#waiting = new Float64Array(choices);
  }

  /** Whether requests are sampled from anything but the policy itself. */
  get active(): boolean {
    return this.epsilon > 0 || this.#countBonus > 0;
  }

  get epsilon(): number {
    const { start, decay, floor } = this.#epsilon;
    return Math.max(floor, start * decay ** this.#counts.reduce((a, b) => a + b, 0));
  }

  /** [K] β/√(N + 1); undefined without one. */
  get bonus(): Float64Array | undefined {
    return this.#countBonus === 0 ? undefined : this.#counts.map((n) => this.#countBonus / Math.sqrt(n + 1));
  }

  /** Makes b of the policy's own distribution, in place. Choices that are not allowed keep 0. */
  mix(probabilities: Float64Array, allowed: readonly number[]): void {
    const { epsilon } = this;
    for (let place = 0; place < probabilities.length; place++) probabilities[place]! *= 1 - epsilon;
    for (const place of allowed) probabilities[place]! += epsilon / allowed.length;
  }

  /** A backward pass saw a row with this choice. */
  saw(place: number): void {
    this.#waiting[place]! += 1;
  }

  /** What was seen since the last step counts from now on. */
  stepped(): void {
    for (const [place, rows] of this.#waiting.entries()) this.#counts[place]! += rows;
    this.#waiting.fill(0);
  }

  /** The gradients were dropped, and so is what was seen. */
  dropped(): void {
    this.#waiting.fill(0);
  }

  get counts(): readonly number[] {
    return [...this.#counts];
  }

  set counts(counts: readonly number[]) {
    this.#counts.set(counts);
    this.#waiting.fill(0);
  }
}
