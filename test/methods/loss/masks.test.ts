/** A masked token is as if it were not there, for every loss and regulariser: its sequence is shorter by it. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clippedImportance } from "../../../src/methods/loss/cispo.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import { likelihood } from "../../../src/methods/loss/likelihood.ts";
import { policyGradient } from "../../../src/methods/loss/policy-gradient.ts";
import { preference } from "../../../src/methods/loss/preference.ts";
import { softGate } from "../../../src/methods/loss/sapo.ts";
import type { BatchCall, LossInput } from "../../../src/methods/method.ts";
import { entropyBonus } from "../../../src/methods/regulariser/entropy-bonus.ts";
import { entropyHinge } from "../../../src/methods/regulariser/entropy-hinge.ts";
import { epo } from "../../../src/methods/regulariser/epo.ts";
import { klPenalty } from "../../../src/methods/regulariser/kl.ts";
import { lossInputs, specInput } from "./kernel-checks.ts";

const aggregations = ["token-mean", "sequence-mean", "sequence-sum", { constant: 9 }] as const;
const perToken = aggregations.flatMap((aggregation) => [
  clipped({ aggregation }),
  clippedImportance({ aggregation }),
  softGate({ aggregation }),
  policyGradient({ aggregation }),
  likelihood({ aggregation }),
  entropyBonus({ aggregation, coefficient: 1 }),
  klPenalty({ aggregation, coefficient: 1 }),
]);
const perSequence = [
  sequenceRatio({ clipLow: 0.2, clipHigh: 0.3 }),
  sequenceRatio({ clipLow: 0.2, clipHigh: 0.3, over: "trajectory" }),
  sequenceRatio({ clipLow: 0.2, clipHigh: 0.3, form: "token", length: "sum" }),
  preference({ likelihoodWeight: 1 }),
  epo({ coefficient: 1 }),
];

/** The same microbatch without its masked tokens; sequences of which none is left stay, empty. */
function shortened(input: LossInput): LossInput {
  const { lengths, mask } = input;
  const kept = [...mask!].flatMap((one, t) => (one === 1 ? [t] : []));
  const pick = (array: Float32Array | undefined) => array && Float32Array.from(kept, (t) => array[t]!);
  let at = 0;
  const { mask: _, ...rest } = input;
  return {
    ...rest,
    lengths: lengths.map((length) => {
      at += length;
      return kept.filter((t) => t >= at - length && t < at).length;
    }),
    logprobs: pick(input.logprobs)!,
    oldLogprobs: pick(input.oldLogprobs)!,
    advantages: pick(input.advantages)!,
    importance: pick(input.importance)!,
    referenceLogprobs: pick(input.referenceLogprobs)!,
    entropies: pick(input.entropies)!,
  };
}

/** Advantages that every loss takes: pairs for one, weights of at least 0 for another. */
function fitting(name: string, input: LossInput): LossInput {
  const { lengths, links, advantages } = input;
  if (name === "likelihood") return { ...input, advantages: advantages.map(Math.abs) };
  if (name !== "preference") return input;
  // The first call of a link is chosen, the second rejected, the others neither.
  const seen = new Map<number, number>();
  const signs = lengths.flatMap((length, i) => {
    const place = seen.get(links![i]!) ?? 0;
    seen.set(links![i]!, place + 1);
    return Array<number>(length).fill(place === 0 ? 1 : place === 1 ? -1 : 0);
  });
  return { ...input, advantages: Float32Array.from(signs) };
}

describe.each([...perToken, ...perSequence].map((part, i) => [part.name, i, part] as const))(
  "%s, %i",
  (name, _, part) => {
    test("as if it were not there", () => {
      const inputs = lossInputs({ links: true, reference: true, entropies: true });
      let masked = 0;
      fc.assert(
        fc.property(inputs, (given) => {
          const input = fitting(name, given);
          if (name === "preference") fc.pre(pairsAreWhole(input));
          if (input.mask!.includes(0)) masked++;
          const [with_, without] = [part.loss(input), part.loss(shortened(input))];
          expect(with_.loss).toBeCloseTo(without.loss, 6);
          expect(with_.statistics.tokens).toBe(without.statistics.tokens);
          for (const [found, wanted] of [
            [with_.gradients.logprobs, without.gradients.logprobs],
            [with_.gradients.entropies, without.gradients.entropies],
          ]) {
            if (found === undefined) continue;
            const kept = [...found].filter((_, t) => input.mask![t] === 1);
            expect(kept).toEqual([...wanted!].map((value) => expect.closeTo(value, 6)));
            for (const [t, value] of found.entries()) if (input.mask![t] === 0) expect(value).toBe(0);
          }
        }),
        { numRuns: 30 },
      );
      expect(masked).toBeGreaterThan(0);
    });
  },
);

/** A link of one call is no pair, nor is one of which the mask takes a whole call away: half a pair is a fault. */
function pairsAreWhole({ lengths, links, mask, advantages }: LossInput): boolean {
  const signs = new Map<number, Set<number>>();
  let at = 0;
  lengths.forEach((length, i) => {
    const found = signs.get(links![i]!) ?? new Set<number>();
    signs.set(links![i]!, found);
    for (const end = at + length; at < end; at++)
      if (mask![at] === 1 && advantages[at] !== 0) found.add(Math.sign(advantages[at]!));
  });
  return [...signs.values()].every(({ size }) => size !== 1);
}

test("entropy hinge: a masked token has no gradient and no share of the loss", () => {
  const part = entropyHinge({ coefficient: 1 });
  const batch: BatchCall[] = [0, 2].map((from) => ({
    episode: "e",
    agent: "a",
    occurrence: 0,
    scope: "",
    order: 0,
    length: 2,
    credit: 0,
    oldLogprobs: specInput.logprobs.slice(from, from + 2),
  }));
  const input = { ...specInput, prepared: part.prepare!(batch), places: [0, 1] };
  const whole = part.loss(input);
  const { loss, gradients, statistics } = part.loss({ ...input, mask: Uint8Array.of(1, 0, 1, 1) });
  expect(statistics.tokens).toBe(3);
  expect(gradients.logprobs[1]).toBe(0);
  expect(whole.loss - loss).toBeCloseTo((2.1 - 0.6) / 4, 5);
  expect(part.needs).toEqual({ tokensWithoutAdvantage: true, entropyInEstimate: true });
});

test("GSPO: another bound on each side", () => {
  const clips = (clipLow: number, clipHigh: number) => {
    const { gradients } = sequenceRatio({ clipLow, clipHigh }).loss(specInput);
    return [gradients.logprobs[0] === 0, gradients.logprobs[2] === 0];
  };
  // s = 1.105 with A > 0, s = 0.819 with A < 0.
  expect([clips(0.05, 0.2), clips(0.3, 0.05), clips(0.3, 0.2)]).toEqual([
    [false, true],
    [true, false],
    [false, false],
  ]);
});
