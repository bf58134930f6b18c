import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Aggregation } from "../../src/methods/aggregation.ts";
import { clippedLoss } from "../../src/methods/clipped-loss.ts";
import { groupCredit, normalise, spreadOf } from "../../src/methods/group-advantage.ts";
import { grpo } from "../../src/methods/grpo.ts";
import {
  addStatistics,
  type LossInput,
  noStatistics,
  type RewardedEpisode,
} from "../../src/methods/method.ts";
import { between } from "./numbers.ts";

const episode = (reward: number, agents: readonly string[] = ["a"]): RewardedEpisode => ({
  reward,
  calls: agents.map((agent) => ({ agent, reward })),
});
const plain = { ddof: 0, divideByDeviation: true, epsilon: 0 } as const;

describe("advantages", () => {
  // Golden values of eight rewards of which one is 1: ±(n − 1)/√(n − 1), population and sample.
  test("population and sample deviation differ", () => {
    const rewards = [0, 0, 0, 0, 0, 0, 0, 1];
    const population = normalise(rewards, plain);
    expect(population[7]).toBeCloseTo(2.645751, 5);
    expect(population[0]).toBeCloseTo(-0.377964, 5);
    const sample = normalise(rewards, { ...plain, ddof: 1 });
    expect(sample[7]).toBeCloseTo(2.474874, 5);
    expect(sample[0]).toBeCloseTo(-0.353553, 5);
  });

  test("six right of eight", () => {
    const advantages = normalise([1, 1, 1, 1, 1, 1, 0, 0], plain);
    expect(advantages[0]).toBeCloseTo(0.57735, 5);
    expect(advantages[7]).toBeCloseTo(-1.732051, 5);
  });

  test("without spread there is no signal, not even from float noise", () => {
    expect([...normalise([0.3, 0.3, 0.3], plain)]).toEqual([0, 0, 0]);
    const { advantages, hasSignal } = groupCredit([episode(0.1 + 0.2), episode(0.3)], {
      ...plain,
      scope: "task",
    });
    expect(hasSignal).toBe(false);
    expect(advantages.map((calls) => [...calls])).toEqual([[0], [0]]);
  });

  test("a group of one has no signal", () => {
    expect(groupCredit([episode(5)], { ...plain, scope: "task" }).hasSignal).toBe(false);
    expect(spreadOf([5], 1)).toEqual({ mean: 5, deviation: 0 });
  });

  test("an episode weighs once, however many calls it makes", () => {
    const { advantages } = groupCredit([episode(1, ["a", "a", "a"]), episode(0)], {
      ...plain,
      scope: "task",
    });
    expect(advantages.map((calls) => [...calls])).toEqual([[1, 1, 1], [-1]]);
  });

  test("an episode without calls still moves the baseline", () => {
    const { advantages } = groupCredit([episode(1), episode(0), episode(0, [])], { ...plain, scope: "task" });
    expect(advantages[0]![0]).toBeCloseTo(2 / 3 / Math.sqrt(2 / 9), 10);
  });

  test("scope agent compares each agent with itself", () => {
    const group: RewardedEpisode[] = [
      {
        reward: 0,
        calls: [
          { agent: "a", reward: 1 },
          { agent: "b", reward: 100 },
        ],
      },
      {
        reward: 0,
        calls: [
          { agent: "a", reward: 3 },
          { agent: "b", reward: 100 },
        ],
      },
    ];
    const { advantages } = groupCredit(group, { ...plain, scope: "agent" });
    expect(advantages.map((calls) => [...calls])).toEqual([
      [-1, 0],
      [1, 0],
    ]);
  });

  test("invariant to the order of episodes, to a shift, and to a positive scale", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 2, maxLength: 12 }),
        fc.integer({ min: -9, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        (rewards, shift, scale) => {
          const base = normalise(rewards, plain);
          const reversed = normalise([...rewards].reverse(), plain);
          const moved = normalise(
            rewards.map((reward) => reward * scale + shift),
            plain,
          );
          for (let i = 0; i < rewards.length; i++) {
            expect(reversed[rewards.length - 1 - i]).toBeCloseTo(base[i]!, 9);
            expect(moved[i]).toBeCloseTo(base[i]!, 9);
          }
        },
      ),
    );
  });
});

const golden = {
  lengths: [2, 2],
  oldLogprobs: Float32Array.of(-1, -2, -0.5, -1.5),
  logprobs: Float32Array.of(-0.7, -2.1, -1.0, -1.4),
  advantages: Float32Array.of(1, 1, -1, -1),
  totals: { sequences: 2, tokens: 4 },
} satisfies LossInput;
const settings = {
  clipLow: 0.2,
  clipHigh: 0.28,
  klCoefficient: 0,
  entropyCoefficient: 0,
  aggregation: "token-mean",
} as const;

describe("clipped loss", () => {
  test("golden values", () => {
    const { loss, gradients, statistics } = clippedLoss(golden, settings);
    expect(loss).toBeCloseTo(-0.069917, 5);
    const expected = [0, -0.226209, 0, 0.276293];
    expected.forEach((value, i) => {
      expect(gradients.logprobs[i]).toBeCloseTo(value, 5);
    });
    expect(statistics.sums.clipFraction).toBe(2);
  });

  const inputs = fc
    .array(
      fc.record({
        l: between(-3, -0.05),
        shift: between(-0.6, 0.6),
        reference: between(-3, -0.05),
        entropy: between(0, 3),
        advantage: between(-2, 2),
        masked: fc.boolean(),
      }),
      { minLength: 1, maxLength: 9 },
    )
    .chain((tokens) => fc.tuple(fc.constant(tokens), fc.integer({ min: 1, max: tokens.length })));
  const aggregations = fc.constantFrom<Aggregation>("token-mean", "sequence-mean", "sequence-sum", {
    constant: 7,
  });
  const toInput = ([tokens, cut]: typeof inputs extends fc.Arbitrary<infer T> ? T : never): LossInput => ({
    lengths: cut === tokens.length ? [cut] : [cut, tokens.length - cut],
    logprobs: Float32Array.from(tokens, ({ l }) => l),
    oldLogprobs: Float32Array.from(tokens, ({ l, shift }) => l + shift),
    referenceLogprobs: Float32Array.from(tokens, ({ reference }) => reference),
    entropies: Float32Array.from(tokens, ({ entropy }) => entropy),
    advantages: Float32Array.from(tokens, ({ advantage }) => advantage),
    mask: Uint8Array.from(tokens, ({ masked }) => (masked ? 0 : 1)),
    totals: { sequences: 3, tokens: 11 },
  });

  test("∂L/∂ℓ and ∂L/∂H equal finite differences", () => {
    fc.assert(
      fc.property(inputs, aggregations, (given, aggregation) => {
        const input = toInput(given);
        const all = { ...settings, aggregation, klCoefficient: 0.3, entropyCoefficient: 0.2 };
        const { gradients } = clippedLoss(input, all);
        for (const field of ["logprobs", "entropies"] as const) {
          for (let i = 0; i < input.logprobs.length; i++) {
            const difference = input.logprobs[i]! - input.oldLogprobs[i]!;
            // The loss has a kink where the ratio meets the clip range.
            if (Math.abs(Math.exp(difference) - 0.8) < 0.02 || Math.abs(Math.exp(difference) - 1.28) < 0.02)
              continue;
            // Steps that float32 can represent exactly next to the value.
            const moved = (by: number) => {
              const copy = Float32Array.from(input[field]!);
              copy[i] = copy[i]! + by;
              return { at: copy[i]!, loss: clippedLoss({ ...input, [field]: copy }, all).loss };
            };
            const up = moved(2 ** -9);
            const down = moved(-(2 ** -9));
            const numeric = (up.loss - down.loss) / (up.at - down.at);
            expect(gradients[field]![i]).toBeCloseTo(numeric, 4);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("cutting a batch into microbatches changes nothing", () => {
    fc.assert(
      fc.property(inputs, aggregations, (given, aggregation) => {
        const input = toInput(given);
        const all = { ...settings, aggregation, klCoefficient: 0.3, entropyCoefficient: 0.2 };
        const whole = clippedLoss(input, all);
        let at = 0;
        let loss = 0;
        let statistics = noStatistics;
        const gradients: number[] = [];
        for (const length of input.lengths) {
          const slice = (values: Float32Array | undefined) => values!.slice(at, at + length);
          const part = clippedLoss(
            {
              lengths: [length],
              logprobs: slice(input.logprobs),
              oldLogprobs: slice(input.oldLogprobs),
              referenceLogprobs: slice(input.referenceLogprobs),
              entropies: slice(input.entropies),
              advantages: slice(input.advantages),
              mask: input.mask!.slice(at, at + length),
              totals: input.totals,
            },
            all,
          );
          loss += part.loss;
          gradients.push(...part.gradients.logprobs);
          statistics = addStatistics(statistics, part.statistics);
          at += length;
        }
        expect(loss).toBeCloseTo(whole.loss, 9);
        expect(gradients).toEqual([...whole.gradients.logprobs]);
        expect(statistics.tokens).toBe(whole.statistics.tokens);
        expect(statistics.sums.kl).toBeCloseTo(whole.statistics.sums.kl!, 9);
      }),
    );
  });

  test("on-policy the gradient is −A·w, whatever the clip range", () => {
    const { gradients, statistics } = clippedLoss({ ...golden, oldLogprobs: golden.logprobs }, settings);
    expect([...gradients.logprobs]).toEqual([-0.25, -0.25, 0.25, 0.25]);
    expect(statistics.sums.clipFraction).toBe(0);
    expect(statistics.sums.kl).toBe(0);
  });

  test("aggregations weigh as documented", () => {
    const input = {
      ...golden,
      lengths: [1, 3],
      oldLogprobs: golden.logprobs,
      advantages: Float32Array.of(1, 1, 1, 1),
    };
    const weights = (aggregation: Aggregation) =>
      Array.from(clippedLoss(input, { ...settings, aggregation }).gradients.logprobs, (g) =>
        Number((-g).toFixed(6)),
      );
    expect(weights("token-mean")).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(weights("sequence-mean")).toEqual([0.5, 0.166667, 0.166667, 0.166667]);
    expect(weights("sequence-sum")).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(weights({ constant: 4 })).toEqual([0.125, 0.125, 0.125, 0.125]);
  });

  test("arrays that do not fit are refused, not padded", () => {
    expect(() => clippedLoss({ ...golden, oldLogprobs: new Float32Array(3) }, settings)).toThrow(
      /has 4 log-probs, but oldLogprobs has 3/,
    );
    expect(() => clippedLoss(golden, { ...settings, klCoefficient: 1 })).toThrow(
      /referenceLogprobs is missing/,
    );
    const broken = { ...golden, logprobs: Float32Array.of(-1, Number.NaN, -1, -1) };
    expect(() => clippedLoss(broken, settings)).toThrow(/E_LOSS_NOT_FINITE|is NaN/);
  });
});

test("settings that make no sense are refused", () => {
  expect(() => grpo({ groupSize: 1 })).toThrow(/at least 2/);
  expect(() => grpo({ clipLow: -1 })).toThrow(/clipLow/);
  expect(() => grpo({ aggregation: { constant: 0 } })).toThrow(/aggregation/);
  expect(grpo({ klCoefficient: 0.1 }).needs).toEqual({
    reference: true,
    entropy: false,
    tokensWithoutAdvantage: true,
  });
});
