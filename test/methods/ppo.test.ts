/** Golden values: the UnityMAS-O specification's test plan (tolerance 1e-5). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clippedLoss } from "../../src/methods/clipped-loss.ts";
import { batchGae, gae } from "../../src/methods/gae.ts";
import { type KlEstimator, klGradient, klValue } from "../../src/methods/kl.ts";
import { addStatistics, type BatchCall, type LossInput, noStatistics } from "../../src/methods/method.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { valueLoss } from "../../src/methods/value-loss.ts";
import { whiten } from "../../src/methods/whiten.ts";
import { between } from "./numbers.ts";

const close = (found: ArrayLike<number>, wanted: readonly number[], digits = 5) => {
  expect(found.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) expect(found[i]).toBeCloseTo(value, digits);
};

const values = [Float32Array.of(0.1, 0.2, 0.3), Float32Array.of(0, -0.2)];
const call = (over: Partial<BatchCall>): BatchCall => ({
  episode: "e",
  agent: "a",
  occurrence: 0,
  scope: "",
  order: 0,
  length: over.values?.length ?? 1,
  credit: 0,
  ...over,
});
const golden = [
  call({ episode: "e0", credit: 0.5, values: values[0]! }),
  call({ episode: "e1", credit: -0.75, values: values[1]! }),
];

describe("GAE and whitening", () => {
  test.each([
    {
      gamma: 1,
      lambda: 1,
      raw: [
        [0.4, 0.3, 0.2],
        [-0.75, -0.55],
      ],
      white: [
        [0.905902, 0.717173, 0.528443],
        [-1.264489, -0.887029],
      ],
    },
    {
      gamma: 0.99,
      lambda: 0.95,
      raw: [
        [0.366137, 0.2851, 0.2],
        [-0.715275, -0.55],
      ],
      white: [
        [0.882503, 0.723207, 0.555924],
        [-1.24326, -0.918374],
      ],
    },
  ])("the specification's table, γ = $gamma, λ = $lambda", ({ gamma, lambda, raw, white }) => {
    const { advantages, returns } = batchGae(golden, { gamma, lambda, turns: "none" });
    for (const i of [0, 1]) {
      close(advantages[i]!, raw[i]!);
      close(
        returns[i]!,
        raw[i]!.map((a, t) => a + values[i]![t]!),
      );
    }
    const whitened = whiten(advantages, golden, { scope: "model" });
    for (const i of [0, 1]) close(whitened[i]!, white[i]!);
  });

  test("with γ = λ = 1 every advantage is R − V and every return is R", () => {
    fc.assert(
      fc.property(
        between(-5, 5),
        fc.array(between(-2, 2), { minLength: 1, maxLength: 6 }),
        (reward, state) => {
          const { advantages, returns } = gae(reward, state, { gamma: 1, lambda: 1 });
          for (const [t, value] of state.entries()) {
            expect(advantages[t]).toBeCloseTo(reward - value, 4);
            expect(returns[t]).toBeCloseTo(reward, 4);
          }
        },
      ),
    );
  });

  test("across an agent's calls the next call's value takes the place of the end", () => {
    const batch = [
      call({ order: 3, credit: 1, values: Float32Array.of(0.5) }),
      call({ order: 1, credit: 0, values: Float32Array.of(0.2, 0.4) }),
    ];
    const { advantages } = batchGae(batch, { gamma: 1, lambda: 1, turns: { gamma: 0.9, lambda: 0.5 } });
    close(advantages[0]!, [0.5]);
    // Last token of the first call: 0 + 0.9·0.5 − 0.4 + 0.9·0.5·0.5; the token before: δ = 0.4 − 0.2, then λγ = 1.
    const last = 0.9 * 0.5 - 0.4 + 0.9 * 0.5 * 0.5;
    close(advantages[1]!, [0.2 + last, last]);
    const alone = batchGae(batch, { gamma: 1, lambda: 1, turns: "none" });
    close(alone.advantages[1]!, [-0.2, -0.4]);
  });

  test("with all discounts 1 the linked calls get the sum of the rewards that follow", () => {
    const batch = [0, 1, 2].map((order) => call({ order, credit: order + 1, values: new Float32Array(2) }));
    const { returns } = batchGae(batch, { gamma: 1, lambda: 1, turns: { gamma: 1, lambda: 1 } });
    expect(returns.map((one) => [...one])).toEqual([
      [6, 6],
      [5, 5],
      [3, 3],
    ]);
  });

  test("other agents, other episodes and other scopes are not linked", () => {
    const other = [{ agent: "b" }, { episode: "f" }, { scope: "child#0" }];
    for (const over of other) {
      const batch = [call({ order: 0, credit: 0 }), call({ order: 1, credit: 8, ...over })];
      const { returns } = batchGae(batch, { gamma: 1, lambda: 1, turns: { gamma: 1, lambda: 1 } });
      expect([...returns[0]!]).toEqual([0]);
    }
  });

  test("after whitening each scope has mean 0 and variance 1, and scopes do not mix", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            agent: fc.constantFrom("a", "b"),
            occurrence: fc.integer({ min: 0, max: 1 }),
            values: fc.array(between(-3, 3), { minLength: 1, maxLength: 4 }),
          }),
          { minLength: 2, maxLength: 12 },
        ),
        fc.constantFrom("model" as const, "agent" as const, "agent-turn" as const),
        (rows, scope) => {
          const raw = rows.map((row) => Float32Array.from(row.values));
          const white = whiten(raw, rows, { scope });
          const name = (row: (typeof rows)[number]) =>
            scope === "model" ? "" : scope === "agent" ? row.agent : `${row.agent}${row.occurrence}`;
          for (const wanted of new Set(rows.map(name))) {
            const of = (all: readonly Float32Array[]) =>
              all.filter((_, i) => name(rows[i]!) === wanted).flatMap((one) => [...one]);
            const found = of(white);
            const mean = found.reduce((sum, value) => sum + value, 0) / found.length;
            expect(mean).toBeCloseTo(0, 3);
            // Below that, ε and float noise are as large as the differences.
            const spread = Math.max(...of(raw)) - Math.min(...of(raw)) > 0.01;
            const variance = found.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (found.length - 1);
            if (spread) expect(variance).toBeCloseTo(1, 2);
          }
        },
      ),
    );
  });

  test("ε is added to the variance", () => {
    // ±1e-4: variance 2e-8 with n − 1.
    const white = whiten([Float32Array.of(1e-4, -1e-4)], [call({})], { scope: "model" });
    expect(white[0]![0]).toBeCloseTo(1e-4 / Math.sqrt(3e-8), 4);
  });

  test("without spread whitening gives zeros", () => {
    const white = whiten([Float32Array.of(0.3, 0.3)], [call({})], { scope: "model" });
    expect([...white[0]!]).toEqual([0, 0]);
  });
});

describe("losses", () => {
  const lengths = [3, 2];
  const old = [-1, -2, -0.5, -1.5, -0.7];
  const now = [-0.7, -2.1, -0.5, -1.2, -1.9];
  const advantages = [1, 1, -1, -2, 0.5];
  const settings = {
    clipLow: 0.2,
    clipHigh: 0.2,
    dualClip: 3,
    klCoefficient: 0,
    entropyCoefficient: 0,
    aggregation: "token-mean",
  } as const;
  const input: LossInput = {
    lengths,
    logprobs: Float32Array.from(now),
    oldLogprobs: Float32Array.from(old),
    advantages: Float32Array.from(advantages),
    totals: { sequences: 2, tokens: 5 },
  };

  test("the specification's PPO table", () => {
    const { loss, statistics } = clippedLoss(input, settings);
    expect(loss).toBeCloseTo(0.288857, 5);
    expect(statistics.sums.clipFraction! / 5).toBeCloseTo(0.2, 5);
  });

  test("dual clip bounds the loss of a bad token whose ratio exploded, and stops its gradient", () => {
    const far = { ...input, logprobs: Float32Array.of(-0.7, -2.1, -0.5, 0.5, -1.9) };
    const bounded = clippedLoss(far, settings);
    expect(bounded.gradients.logprobs[3]).toBe(0);
    // −A = 2, ratio e²: 2·7.39 without the bound, 3·2 with it.
    const { dualClip: _, ...open } = settings;
    expect(clippedLoss(far, open).loss - bounded.loss).toBeCloseTo((2 * Math.exp(2) - 6) / 5, 4);
  });

  test("the specification's value loss", () => {
    const oldValues = [0.1, 0.2, 0.3, 0, -0.2];
    const returns = [0.5, 0.5, 0.5, -0.75, -0.75];
    const step = [0.7, 0.1, 0, 0, -0.6];
    const total = oldValues.reduce(
      (sum, value, i) => sum + valueLoss(value + step[i]!, value, returns[i]!, 0.5).loss,
      0,
    );
    expect(total / 5).toBeCloseTo(0.0735, 5);
  });

  test("∂L/∂ℓ, ∂L/∂H and ∂L/∂v equal finite differences, with every part switched on", () => {
    const number = between(-2, 2);
    const row = fc.record({
      l: between(-4, -0.05),
      shift: between(-1.6, 1.6),
      reference: between(-4, -0.05),
      h: between(0, 2),
      a: number,
      v: number,
      oldV: number,
      target: number,
      weight: between(0.1, 2),
    });
    let compared = 0;
    let skipped = 0;
    fc.assert(
      fc.property(
        fc.array(fc.array(row, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom<KlEstimator>("k1", "k2", "k3"),
        fc.constantFrom("token-mean" as const, "sequence-mean" as const, "sequence-sum" as const),
        (sequences, klEstimator, aggregation) => {
          const rows = sequences.flat();
          const flat = (of: (one: (typeof rows)[number]) => number) => Float32Array.from(rows, of);
          const full: LossInput = {
            lengths: sequences.map(({ length }) => length),
            logprobs: flat(({ l }) => l),
            oldLogprobs: flat(({ l, shift }) => l + shift),
            referenceLogprobs: flat(({ reference }) => reference),
            entropies: flat(({ h }) => h),
            advantages: flat(({ a }) => a),
            values: flat(({ v }) => v),
            oldValues: flat(({ oldV }) => oldV),
            returns: flat(({ target }) => target),
            importance: flat(({ weight }) => weight),
            totals: { sequences: sequences.length, tokens: rows.length },
          };
          const all = {
            ...settings,
            klEstimator,
            aggregation,
            klCoefficient: 0.3,
            entropyCoefficient: 0.2,
            value: { coefficient: 0.7, clip: 0.5 },
          };
          const { gradients } = clippedLoss(full, all);
          const parts = [
            ["logprobs", gradients.logprobs],
            ["entropies", gradients.entropies!],
            ["values", gradients.values!],
          ] as const;
          for (const [name, gradient] of parts) {
            for (let i = 0; i < rows.length; i++) {
              const e = 2 ** -9;
              const at = (shift: number) => {
                const moved = Float32Array.from(full[name]!);
                moved[i] = moved[i]! + shift;
                return { loss: clippedLoss({ ...full, [name]: moved }, all).loss, by: moved[i]! };
              };
              const [up, down, middle] = [at(e), at(-e), at(0)];
              const right = (up.loss - middle.loss) / (up.by - middle.by);
              const left = (middle.loss - down.loss) / (middle.by - down.by);
              // At a kink of the clipping both sides differ, and the gradient is one of them.
              if (Math.abs(right - left) > 0.005 * (0.1 + Math.abs(right))) {
                skipped++;
                continue;
              }
              compared++;
              const central = (up.loss - down.loss) / (up.by - down.by);
              expect(Math.abs(gradient[i]! - central)).toBeLessThan(0.003 * (0.1 + Math.abs(central)));
            }
          }
        },
      ),
      { numRuns: 60 },
    );
    expect(compared).toBeGreaterThan(20 * skipped);
  });

  test("cut into microbatches the shares add up to the whole", () => {
    const whole = clippedLoss(input, settings);
    const part = (from: number, to: number, length: number) =>
      clippedLoss(
        {
          ...input,
          lengths: [length],
          logprobs: input.logprobs.slice(from, to),
          oldLogprobs: input.oldLogprobs.slice(from, to),
          advantages: input.advantages.slice(from, to),
        },
        settings,
      );
    const parts = [part(0, 3, 3), part(3, 5, 2)];
    expect(parts[0]!.loss + parts[1]!.loss).toBeCloseTo(whole.loss, 6);
    close(
      [...parts[0]!.gradients.logprobs, ...parts[1]!.gradients.logprobs],
      [...whole.gradients.logprobs],
      7,
    );
    const added = parts.reduce((sum, { statistics }) => addStatistics(sum, statistics), noStatistics);
    expect(added.sums.clipFraction).toBe(whole.statistics.sums.clipFraction);
  });

  test("an importance weight multiplies the policy's part only", () => {
    const value = { coefficient: 1, clip: 0.5 };
    const withValues = {
      ...input,
      values: Float32Array.of(1, 1, 1, 1, 1),
      oldValues: Float32Array.of(1, 1, 1, 1, 1),
      returns: new Float32Array(5),
    };
    const plain = clippedLoss(withValues, { ...settings, value });
    const none = clippedLoss({ ...withValues, importance: new Float32Array(5) }, { ...settings, value });
    expect(none.loss).toBeCloseTo(0.5, 6);
    expect([...none.gradients.logprobs].every((g) => g === 0)).toBe(true);
    expect([...none.gradients.values!]).toEqual([...plain.gradients.values!]);
  });
});

test("k1, k2 and k3 have their values, and gradients that are their slopes", () => {
  expect(klValue("k3", -0.5)).toBeCloseTo(0.148721, 5);
  expect(klValue("k3", 0.5)).toBeCloseTo(0.106531, 5);
  expect(klValue("k1", 0.5)).toBe(0.5);
  expect(klValue("k2", 0.5)).toBe(0.125);
  for (const estimator of ["k1", "k2", "k3"] as const) {
    for (const d of [-1.5, -0.1, 0, 0.4, 2]) {
      const slope = (klValue(estimator, d + 1e-5) - klValue(estimator, d - 1e-5)) / 2e-5;
      expect(klGradient(estimator, d)).toBeCloseTo(slope, 5);
    }
  }
});

test("settings that make no sense are refused by name", () => {
  for (const [settings, name] of [
    [{ epochs: 0 }, "epochs"],
    [{ minibatches: 1.5 }, "minibatches"],
    [{ gamma: 1.1 }, "gamma"],
    [{ turns: { gamma: 2, lambda: 1 } }, "turns"],
    [{ dualClip: 1 }, "dualClip"],
    [{ valueClip: 0 }, "valueClip"],
    [{ klCoefficient: Number.NaN }, "klCoefficient"],
  ] as const) {
    expect(() => ppo(settings)).toThrow(new RegExp(`ppo has ${name}`));
  }
  expect(() =>
    ppo({ dualClip: Number.POSITIVE_INFINITY, valueClip: Number.POSITIVE_INFINITY }),
  ).not.toThrow();
});
