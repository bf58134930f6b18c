/** @file What every loss must hold to: random microbatches, finite differences, and splits that change nothing. */

import fc from "fast-check";
import { expect } from "vitest";
import type { LossInput, LossOutput } from "../../../src/methods/method.ts";
import { between } from "../numbers.ts";

export interface KernelCheck {
  /** Default: sequences alone. */
  readonly links?: boolean;
  readonly reference?: boolean;
  readonly entropies?: boolean;
  /** Advantages of one sequence are equal. Default false. */
  readonly equalInSequence?: boolean;
  /** Largest |ℓ − ℓ_old|. Default 0.5. */
  readonly spread?: number;
}

type Loss = (input: LossInput) => LossOutput;

/** Microbatches of up to four sequences; what a kernel reads is in them. */
export function lossInputs(check: KernelCheck = {}): fc.Arbitrary<LossInput> {
  const { spread = 0.5 } = check;
  const token = fc.record({
    old: between(-3, -0.1),
    off: between(-spread, spread),
    ref: between(-0.5, 0.5),
    advantage: between(-2, 2),
    entropy: between(0.1, 3),
    importance: between(0.2, 2),
    kept: fc.integer({ min: 0, max: 4 }),
  });
  const sequence = fc.record({
    tokens: fc.array(token, { minLength: 1, maxLength: 5 }),
    link: fc.integer({ min: 0, max: 1 }),
  });
  return fc.array(sequence, { minLength: 1, maxLength: 4 }).map((sequences) => {
    const lengths = sequences.map(({ tokens }) => tokens.length);
    const flat = sequences.flatMap(({ tokens }) =>
      tokens.map((one) =>
        check.equalInSequence === true ? { ...one, advantage: tokens[0]!.advantage } : one,
      ),
    );
    const column = (of: (one: (typeof flat)[number]) => number) => Float32Array.from(flat, of);
    return {
      lengths,
      logprobs: column(({ old, off }) => old + off),
      oldLogprobs: column(({ old }) => old),
      advantages: column(({ advantage }) => advantage),
      importance: column(({ importance }) => importance),
      mask: Uint8Array.from(flat, ({ kept }) => (kept === 0 ? 0 : 1)),
      ...(check.reference === true ? { referenceLogprobs: column(({ old, ref }) => old + ref) } : {}),
      ...(check.entropies === true ? { entropies: column(({ entropy }) => entropy) } : {}),
      ...(check.links === true ? { links: sequences.map(({ link }) => link) } : {}),
      totals: { sequences: 7, tokens: 23 },
    };
  });
}

/** ∂L/∂ℓ (and ∂L/∂H) against central differences. Skips tokens at a kink, where the two one-sided slopes differ. */
export function checkGradients(loss: Loss, input: LossInput): void {
  const { gradients } = loss(input);
  const step = 2 ** -9;
  for (const [name, found] of [
    ["logprobs", gradients.logprobs],
    ["entropies", gradients.entropies],
  ] as const) {
    const at = input[name];
    if (found === undefined || at === undefined) continue;
    for (let t = 0; t < at.length; t++) {
      const moved = (by: number) => {
        const changed = Float32Array.from(at);
        changed[t] = changed[t]! + by;
        return { value: loss({ ...input, [name]: changed }).loss, by: changed[t]! - at[t]! };
      };
      const [up, middle, down] = [moved(step), moved(0), moved(-step)];
      const right = (up.value - middle.value) / up.by;
      const left = (middle.value - down.value) / -down.by;
      if (Math.abs(right - left) > 0.02 * (Math.abs(right) + Math.abs(left)) + 1e-3) continue;
      const wanted = (up.value - down.value) / (up.by - down.by);
      expect(Math.abs(found[t]! - wanted), `${name}[${t}]: ${found[t]} for ${wanted}`).toBeLessThan(
        2e-3 * (1 + Math.abs(wanted)),
      );
    }
  }
}

/** Sequences one by one (linked ones together) give the same loss and gradients as all at once. */
export function checkSplit(loss: Loss, input: LossInput): void {
  const whole = loss(input);
  const { lengths, links } = input;
  const units = new Map<string, number[]>();
  lengths.forEach((_, i) => {
    const unit = links === undefined || links[i] === -1 ? `alone ${i}` : `${links[i]}`;
    units.set(unit, [...(units.get(unit) ?? []), i]);
  });
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  let sum = 0;
  let tokens = 0;
  for (const members of units.values()) {
    const tokensOf = members.flatMap((i) => Array.from({ length: lengths[i]! }, (_, t) => starts[i]! + t));
    const part = { ...input, lengths: members.map((i) => lengths[i]!) };
    for (const name of [
      "logprobs",
      "oldLogprobs",
      "advantages",
      "importance",
      "referenceLogprobs",
      "entropies",
    ] as const)
      if (input[name] !== undefined)
        Object.assign(part, { [name]: Float32Array.from(tokensOf, (t) => input[name]![t]!) });
    Object.assign(part, { mask: Uint8Array.from(tokensOf, (t) => input.mask?.[t] ?? 1) });
    if (links !== undefined) Object.assign(part, { links: members.map((i) => links[i]!) });
    if (input.places !== undefined) Object.assign(part, { places: members.map((i) => input.places![i]!) });
    const output = loss(part);
    sum += output.loss;
    tokens += output.statistics.tokens;
    tokensOf.forEach((t, i) => {
      expect(output.gradients.logprobs[i]).toBeCloseTo(whole.gradients.logprobs[t]!, 6);
    });
  }
  expect(sum).toBeCloseTo(whole.loss, 5);
  expect(tokens).toBe(whole.statistics.tokens);
}

/** A masked token has no gradient, and what is in it moves nothing. */
export function checkMask(loss: Loss, input: LossInput): void {
  const { mask } = input;
  if (mask === undefined) return;
  const noise = (array: Float32Array | undefined) => array?.map((value, t) => (mask[t] === 0 ? -7.5 : value));
  const before = loss(input);
  const after = loss({
    ...input,
    logprobs: noise(input.logprobs)!,
    oldLogprobs: noise(input.oldLogprobs)!,
    advantages: noise(input.advantages)!,
  });
  expect(after.loss).toBe(before.loss);
  mask.forEach((kept, t) => {
    if (kept === 0) expect(before.gradients.logprobs[t]).toBe(0);
  });
}

/** All of it, on random microbatches. */
export function checkKernel(loss: Loss, check: KernelCheck = {}): void {
  fc.assert(
    fc.property(lossInputs(check), (input) => {
      checkGradients(loss, input);
      checkSplit(loss, input);
      checkMask(loss, input);
    }),
    { numRuns: 60 },
  );
}

/** The microbatch of the specification: two sequences of two tokens. */
export const specInput: LossInput = {
  lengths: [2, 2],
  logprobs: Float32Array.of(-0.7, -2.1, -1.0, -1.4),
  oldLogprobs: Float32Array.of(-1, -2, -0.5, -1.5),
  advantages: Float32Array.of(1, 1, -1, -1),
  totals: { sequences: 2, tokens: 4 },
};
