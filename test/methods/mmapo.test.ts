/** MMAPO's three updates. Golden values: the specification's check vector (tolerance 1e-4, ε = 1e-8 as it is said there). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { optionTexts } from "../../src/methods/advantage/option-texts.ts";
import { alignerPpo } from "../../src/methods/aligner-ppo.ts";
import { optionContrast } from "../../src/methods/loss/option-contrast.ts";
import type { BatchCall, LossInput, Method, RewardedEpisode } from "../../src/methods/method.ts";
import { mmapo } from "../../src/methods/mmapo.ts";
import { selectorPpo } from "../../src/methods/selector-ppo.ts";
import { between } from "./numbers.ts";

const close = (found: ArrayLike<number>, wanted: readonly number[], digits = 5) => {
  expect(found.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) expect(found[i]).toBeCloseTo(value, digits);
};

const call = (credit: number, values: readonly number[], length = values.length): BatchCall => ({
  episode: "e",
  agent: "a",
  occurrence: 0,
  scope: "",
  order: 0,
  length,
  credit,
  values: Float32Array.from(values),
});
const input = (over: Partial<LossInput> & Pick<LossInput, "lengths" | "logprobs">): LossInput => ({
  oldLogprobs: new Float32Array(over.logprobs.length),
  advantages: new Float32Array(over.logprobs.length),
  totals: { sequences: over.lengths.length, tokens: over.logprobs.length },
  ...over,
});
const rewards = [0.775593, -0.1, 0.4, 0.6];
const before = [0.3, 0.3, 0.2, 0.5];
const golden = rewards.map((reward, i) => call(reward, [before[i]!]));
const advantages = [1.044113, -1.351041, 0.290237, 0.016691];
const moved = Float32Array.of(0.25, -0.1, 0, -0.3);
const flat = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]);

/** Largest difference between gradients and central differences, of ℓ, H and v, computed in float32 arrays. */
function gradientGap(method: Pick<Method, "loss">, one: LossInput): number {
  const found = method.loss(one).gradients;
  const step = 1 / 128;
  let gap = 0;
  for (const name of ["logprobs", "entropies", "values"] as const) {
    if (one[name] === undefined) continue;
    for (let t = 0; t < one[name].length; t++) {
      const at = (by: number) => {
        const array = Float32Array.from(one[name]!);
        array[t]! += by;
        return method.loss({ ...one, [name]: array }).loss;
      };
      gap = Math.max(gap, Math.abs((at(step) - at(-step)) / (2 * step) - (found[name]?.[t] ?? 0)));
    }
  }
  return gap;
}

describe("the selector", () => {
  test("advantages, and what the value head learns", () => {
    const raw = selectorPpo().estimate!(golden);
    close(flat(raw.advantages), advantages);
    close(flat(raw.returns!), rewards);
    const official = selectorPpo({ returns: "official" }).estimate!(golden);
    close(flat(official.returns!), [1.344113, -1.051041, 0.490237, 0.516691]);
  });

  test("the clipped loss, and each of the other two terms", () => {
    const batch = input({
      lengths: [1, 1, 1, 1],
      logprobs: moved,
      advantages: Float32Array.from(advantages),
      values: Float32Array.from(before),
      oldValues: Float32Array.from(before),
      returns: Float32Array.from(rewards),
      entropies: Float32Array.of(1, 1.2, 0.8, 1),
    });
    const only = selectorPpo({ entropyCoefficient: 0, valueCoefficient: 1e-9 }).loss(batch);
    expect(only.loss).toBeCloseTo(-0.083266, 5);
    close(only.gradients.logprobs, [0, 0.305619, -0.072559, -0.003091], 4);
    const squares = (0.475593 ** 2 + 0.4 ** 2 + 0.2 ** 2 + 0.1 ** 2) / 4;
    const whole = selectorPpo().loss(batch);
    expect(whole.loss).toBeCloseTo(-0.083266 + 0.5 * squares - 0.01, 5);
    close(whole.gradients.values!, [-0.118898, 0.1, -0.05, -0.025], 5);
    close(whole.gradients.entropies!, [-0.0025, -0.0025, -0.0025, -0.0025], 6);
    expect(whole.statistics.sums.entropy).toBeCloseTo(4, 5);
    expect(whole.statistics.sums.clipFraction).toBe(1);
  });

  test("a call alone, and calls without spread, have no advantage", () => {
    close(flat(selectorPpo().estimate!([call(3, [1])]).advantages), [0]);
    close(flat(selectorPpo().estimate!([call(3, [1]), call(2, [0])]).advantages), [0, 0]);
    expect(selectorPpo().estimate!([]).advantages).toEqual([]);
  });

  test("a call of several tokens is one action, judged before its first token", () => {
    const { advantages: found, returns } = selectorPpo().estimate!([call(1, [0.5, 9, 9]), call(0, [0.5])]);
    close(flat(found), [Math.SQRT1_2, Math.SQRT1_2, Math.SQRT1_2, -Math.SQRT1_2]);
    close(flat(returns!), [1, 1, 1, 0]);
    const { loss, gradients } = selectorPpo({ entropyCoefficient: 0 }).loss(
      input({
        lengths: [2],
        logprobs: Float32Array.of(-0.1, 0.2),
        advantages: Float32Array.of(1, 1),
        values: Float32Array.of(0.5, 7),
        returns: Float32Array.of(1, 1),
      }),
    );
    expect(loss).toBeCloseTo(-Math.exp(0.1) + 0.5 * 0.25, 5);
    close(gradients.logprobs, [-Math.exp(0.1), -Math.exp(0.1)]);
    close(gradients.values!, [-0.5, 0]);
  });

  test("groups of one teach, without episodes nothing does", () => {
    const one: RewardedEpisode = { reward: 0, calls: [{ agent: "a", reward: 0.5 }] };
    expect(selectorPpo().credit([one])).toEqual({ advantages: [Float64Array.of(0.5)], hasSignal: true });
    expect(selectorPpo().credit([]).hasSignal).toBe(false);
  });
});

describe("the aligner", () => {
  const episode = (meanLogprob: number | undefined): RewardedEpisode => ({
    reward: 0,
    calls: [{ agent: "a", reward: 0.8, ...(meanLogprob === undefined ? {} : { meanLogprob }) }],
  });

  test("is paid the reward times its confidence", () => {
    expect(alignerPpo().credit([episode(Math.log(0.5))]).advantages[0]![0]).toBeCloseTo(0.4, 12);
    expect(alignerPpo({ confidence: "none" }).credit([episode(undefined)]).advantages[0]![0]).toBe(0.8);
    const own = alignerPpo({ confidence: ({ agent }) => agent.length / 4 });
    expect(own.credit([episode(undefined)]).advantages[0]![0]).toBeCloseTo(0.2, 12);
    expect(() => alignerPpo().credit([episode(undefined)])).toThrowError(
      expect.objectContaining({ code: "E_CONFIDENCE" }),
    );
  });

  test("the ratio of a whole call is clamped before it is clipped, and does not move beyond", () => {
    const one = (difference: number, a: number) =>
      alignerPpo({ valueCoefficient: 1e-12 }).loss(
        input({
          lengths: [2],
          logprobs: Float32Array.of(difference / 2, difference / 2),
          advantages: Float32Array.of(a, a),
          values: new Float32Array(2),
          returns: new Float32Array(2),
        }),
      );
    // A < 0: only the clamp holds it.
    expect(one(5.5, -1).loss).toBeCloseTo(100, 4);
    close(one(5.5, -1).gradients.logprobs, [0, 0]);
    expect(one(4, -1).loss).toBeCloseTo(Math.exp(4), 3);
    close(one(4, -1).gradients.logprobs, [Math.exp(4), Math.exp(4)], 3);
    expect(one(-6, 1).loss).toBeCloseTo(-0.01, 6);
    close(one(-6, 1).gradients.logprobs, [0, 0]);
    expect(one(4, 1).loss).toBeCloseTo(-1.2, 5);
  });

  test("normalised against the value head, or against the mean without one", () => {
    close(flat(alignerPpo().estimate!(golden).advantages), advantages);
    close(flat(alignerPpo().estimate!(golden).returns!), rewards);
    const mean = alignerPpo({ baseline: "mean" });
    expect(mean.needs.values).toBeUndefined();
    expect(mean.updates!.epochs).toBe(1);
    expect(alignerPpo().updates).toEqual({ epochs: 4, minibatches: 1 });
    const found = mean.estimate!([call(1, [], 2), call(0, [], 1)]);
    close(flat(found.advantages), [0.5, 0.5, -0.5]);
    expect(found.returns).toBeUndefined();
    const { loss, gradients } = mean.loss(
      input({
        lengths: [2, 1],
        logprobs: Float32Array.of(-1, -2, -0.5),
        advantages: Float32Array.of(0.5, 0.5, -0.5),
      }),
    );
    expect(loss).toBeCloseTo((1.5 - 0.25) / 2, 6);
    close(gradients.logprobs, [-0.25, -0.25, 0.25], 6);
  });
});

describe("the recommender", () => {
  const options = (
    rows: readonly { now: number; reference: number; old?: number; a: number; link?: number }[],
  ) =>
    input({
      lengths: rows.map(() => 1),
      logprobs: Float32Array.from(rows, ({ now }) => now),
      oldLogprobs: Float32Array.from(rows, ({ now, old = now }) => old),
      referenceLogprobs: Float32Array.from(rows, ({ reference }) => reference),
      advantages: Float32Array.from(rows, ({ a }) => a),
      links: rows.map(({ link = 0 }) => link),
    });
  const pair = [
    { now: -1.2, reference: -1.5, a: 1 },
    { now: -0.9, reference: -0.8, a: -1 },
  ];

  test("the specification's pair", () => {
    const { loss, gradients } = optionContrast().loss(options(pair));
    expect(loss).toBeCloseTo(0.673347, 5);
    const push = 0.1 / (1 + Math.exp(0.04));
    close(gradients.logprobs, [-push, push], 6);
    expect(optionContrast({ beta: 0.2 }).loss(options(pair)).loss).toBeCloseTo(
      Math.log1p(Math.exp(-0.08)),
      5,
    );
  });

  test("only the wrong options that were likeliest before the update are pushed down", () => {
    const rows = [
      { now: -2, reference: -2, old: -2, a: 1 },
      { now: -1, reference: -1, old: -3, a: -1 },
      { now: -5, reference: -5, old: -1, a: -1 },
      { now: -4, reference: -4, old: -2, a: -1 },
    ];
    const { loss, gradients } = optionContrast({ negatives: 2 }).loss(options(rows));
    expect(loss).toBeCloseTo(Math.log(2), 6);
    close(gradients.logprobs, [-0.05, 0, 0.025, 0.025], 6);
  });

  test("pairs of a question are averaged, and questions too; cutting them into microbatches changes nothing", () => {
    const twenty = Array.from({ length: 20 }, (_, i) => ({
      now: -1 - i / 10,
      reference: -1.5,
      a: i === 3 ? 1 : -1,
    }));
    const other = pair.map((row) => ({ ...row, link: 1 }));
    const totals = { sequences: 22, tokens: 22 };
    const loss = (rows: Parameters<typeof options>[0]) =>
      optionContrast().loss({ ...options(rows), totals }).loss;
    expect(loss([...twenty, ...other])).toBeCloseTo(loss(twenty) + loss(other), 9);
    expect(loss(other)).toBeCloseTo((0.673347 * 2) / 22, 5);
    const hard = twenty.filter((_, i) => i !== 3).slice(0, 10);
    const d = (row: { now: number; reference: number }) => 0.2 - (row.now - row.reference);
    const mean = hard.reduce((sum, row) => sum + Math.log1p(Math.exp(-0.1 * d(row))), 0) / 10;
    expect(optionContrast().loss(options(twenty)).loss).toBeCloseTo(mean, 5);
  });

  test("a question without a right or without a wrong option is an error", () => {
    for (const one of pair)
      expect(() => optionContrast().loss(options([one]))).toThrowError(
        expect.objectContaining({ code: "E_PAIR" }),
      );
  });

  const asked: RewardedEpisode = {
    id: "e",
    reward: 0,
    calls: [
      { agent: "other", policy: "p", reward: 0 },
      { agent: "recommender", policy: "p", reward: 0 },
    ],
  };
  const given = (wrong?: "all" | "random") =>
    optionTexts({
      options: () => ({ options: ["A", "B", "C"], answer: "B" }),
      agent: "recommender",
      ...(wrong === undefined ? {} : { wrong }),
    }).advantages([
      { group: { task: "t", dataset: "", episodes: [asked] }, values: [Float64Array.of(0, 0)] },
    ])[0]!;

  test("every option is given after the call's prompt, and what was said is not trained", () => {
    const { trained, advantages: none, given: texts, hasSignal } = given();
    expect([hasSignal, trained, none]).toEqual([true, [Uint8Array.of(0, 0)], [Float64Array.of(0, 0)]]);
    const place = { episode: 0, call: 1, policy: "p", link: texts![0]!.link };
    expect(texts).toEqual([
      { ...place, text: "B", advantage: 1 },
      { ...place, text: "A", advantage: -1 },
      { ...place, text: "C", advantage: -1 },
    ]);
    expect(given("random").given!.map(({ advantage }) => advantage)).toEqual([1, -1]);
    expect(given("random")).toEqual(given("random"));
  });

  test.each([
    [["A", "B"], "C"],
    [["A", "A", "B"], "A"],
    [["A"], "A"],
  ])("options %j with answer %s are refused", (list, answer) => {
    const part = optionTexts({ options: () => ({ options: list, answer }) });
    expect(() =>
      part.advantages([{ group: { task: "t", dataset: "", episodes: [asked] }, values: [] }]),
    ).toThrowError(expect.objectContaining({ code: "E_OPTIONS" }));
  });
});

test("gradients are those of the loss", () => {
  const number = between(-1, 1);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(number, number, number, number), { minLength: 4, maxLength: 4 }),
      (rows) => {
        const column = (k: number) => Float32Array.from(rows, (row) => row[k]!);
        // Within the clip range: at its edge there is no derivative.
        const batch = input({
          lengths: [2, 1, 1],
          logprobs: column(0).map((value) => value * 0.05),
          advantages: column(1),
          values: column(2),
          returns: column(3),
          entropies: column(3),
          referenceLogprobs: column(2),
          links: [0, 0, 0],
        });
        expect(gradientGap(selectorPpo(), batch)).toBeLessThan(2e-3);
        expect(gradientGap(alignerPpo(), batch)).toBeLessThan(2e-3);
        const signed = { ...batch, advantages: Float32Array.of(1, 1, -1, -1) };
        expect(gradientGap(optionContrast({ negatives: 1 }), signed)).toBeLessThan(2e-3);
      },
    ),
    { numRuns: 50 },
  );
});

describe("mmapo", () => {
  const options = () => ({ options: ["A", "B"], answer: "A" });
  const episode: RewardedEpisode = {
    id: "e",
    reward: 0,
    calls: ["selector", "aligner", "recommender"].map((policy) => ({
      agent: policy,
      policy,
      reward: 0.5,
      meanLogprob: Math.log(0.5),
    })),
  };

  test("each agent by its own method", () => {
    const { advantages: found, trained, given } = mmapo({ options }).credit([episode]);
    close(found[0]!, [0.5, 0.25, 0]);
    expect(trained).toEqual([Uint8Array.of(1, 1, 0)]);
    expect(given!.map(({ policy, call: at, text }) => [policy, at, text])).toEqual([
      ["recommender", 2, "A"],
      ["recommender", 2, "B"],
    ]);
    const method = mmapo({ options });
    expect([method.updatesOf("selector").epochs, method.updatesOf("recommender").epochs]).toEqual([4, 1]);
    expect(method.needsOf("recommender").values).toBeUndefined();
    expect(method.needs).toMatchObject({ reference: true, entropy: true, values: true });
  });

  test("names of policies are the run's, and differ", () => {
    expect(Object.keys(mmapo({ options, policies: { selector: "small" } }).settings)).toEqual([
      "small",
      "aligner",
      "recommender",
    ]);
    expect(() => mmapo({ options, policies: { selector: "x", aligner: "x" } })).toThrowError(
      expect.objectContaining({ code: "E_METHOD_POLICY" }),
    );
  });

  test.each([
    () => selectorPpo({ clip: -1 }),
    () => selectorPpo({ returns: "other" as "raw" }),
    () => alignerPpo({ clamp: [2, 3] }),
    () => alignerPpo({ epochs: 0 }),
    () => optionContrast({ negatives: 0 }),
    () => optionContrast({ beta: 0 }),
  ])("settings that make no sense are refused (%#)", (make) => {
    expect(make).toThrowError(expect.objectContaining({ code: "E_METHOD_SETTING" }));
  });
});
