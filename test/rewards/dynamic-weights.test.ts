import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dynamicWeights, dynamicWeightsCard } from "../../src/rewards/dynamic-weights.ts";
import { learningSpeedWeights, slopeOf } from "../../src/rewards/learning-speed.ts";
import { type Json, RewardDefinitionError, type RewardTerm } from "../../src/rewards/reward.ts";
import { sum } from "../../src/rewards/sum.ts";
import { reward } from "../../src/rewards/terms.ts";
import { between } from "../methods/numbers.ts";
import { context, episodes, totals } from "./episodes.ts";

const field = (name: string) => reward(name, ({ result }) => (result as Record<string, number>)[name]!);

/** Scores a group of two equal episodes at a step, and lets the term learn from it. */
async function step(term: RewardTerm, at: number, result: unknown): Promise<number> {
  const now = { ...context, step: at };
  const group = episodes(result, result);
  const scored = await term.score(group, now);
  const [first] = await totals(term, group, now);
  term.learn!(scored, now);
  return first as number;
}

const golden = [
  [0.5, 0.52, 0.54, 0.56, 0.58],
  [0.6, 0.6, 0.6, 0.6, 0.6],
  [0.4, 0.39, 0.38, 0.37, 0.36],
];
const goldenWeights = [0.121952, 0.331499, 0.546549];

describe("learning-speed weights", () => {
  it("have the golden values of DW-GRPO", () => {
    for (const [j, slope] of [0.02, 0, -0.01].entries()) expect(slopeOf(golden[j]!)).toBeCloseTo(slope, 12);
    const weights = learningSpeedWeights(golden, { temperature: 1 });
    for (const [j, weight] of goldenWeights.entries()) expect(weights[j]).toBeCloseTo(weight, 6);
    const total = [0.8, 0.6, 0.5].reduce((sum, value, j) => sum + weights[j]! * value, 0);
    expect(total).toBeCloseTo(0.569735, 6);
  });

  it("weigh least what rises fastest, in a unit of the user's where asked to", () => {
    expect(slopeOf([1, 2, 3])).toBe(1);
    expect(slopeOf([5])).toBe(0);
    const rising = [
      [0, 0.02],
      [0.5, 0.5],
    ];
    const [fast, flat] = learningSpeedWeights(rising, { slopes: "absolute", temperature: 0.02 });
    expect(fast! / flat!).toBeCloseTo(Math.exp(-1), 12);
    const [steep, level] = learningSpeedWeights(rising, { temperature: 2 });
    expect(steep! / level!).toBeCloseTo(Math.exp(-1 / 2), 12);
  });

  it("give nothing to what is at its ceiling, and do not measure others by it", () => {
    const done = [
      [0, 0.5],
      [0.5, 0.51],
      [0.5, 0.5],
    ];
    const [ceiling, fast, flat] = learningSpeedWeights(done, {}, [0.5]);
    expect(ceiling).toBe(0);
    expect(fast! / flat!).toBeCloseTo(Math.exp(-1), 9);
    expect(
      learningSpeedWeights(
        [
          [0, 0.5],
          [0.97, 0.97],
        ],
        {},
        [undefined, 0.95],
      ),
    ).toEqual([1, 0]);
    expect(learningSpeedWeights([[1], [1]], {}, [1, 1])).toEqual([0.5, 0.5]);
    expect(learningSpeedWeights([[1], [0]], {}, [1, 1])).toEqual([0, 1]);
  });

  it("are equal where nothing moves, also where rounding does", () => {
    const still = [Array(5).fill(0.6), Array(5).fill(0.1 + 0.2)];
    for (const weight of learningSpeedWeights(still)) expect(weight).toBeCloseTo(0.5, 3);
    expect(learningSpeedWeights([[1], [0]])).toEqual([0.5, 0.5]);
    expect(learningSpeedWeights([])).toEqual([]);
    expect(() => learningSpeedWeights(still, { temperature: 0 })).toThrow(RewardDefinitionError);
  });

  it("sum to 1, do not change where a term shifts, nor, if relative, with the unit of all", () => {
    const rows = fc.array(between(-5, 5), { minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(rows, rows, between(-5, 5), between(0.1, 50), (a, b, shift, unit) => {
        const changed = [a.map((one) => one + shift), b];
        for (const slopes of ["relative", "absolute"] as const) {
          const plain = learningSpeedWeights([a, b], { slopes });
          const shifted = learningSpeedWeights(changed, { slopes });
          for (const [j, weight] of plain.entries()) expect(shifted[j]).toBeCloseTo(weight, 6);
          expect(plain[0]! + plain[1]!).toBeCloseTo(1, 12);
          const apart = slopeOf(b) - slopeOf(a);
          if (Math.abs(apart) > 1e-9) expect(plain[0]! > plain[1]!).toBe(apart > 0);
        }
        const scaled = learningSpeedWeights([a, b].map((row) => row.map((one) => one * unit)));
        for (const [j, weight] of learningSpeedWeights([a, b]).entries())
          expect(scaled[j]).toBeCloseTo(weight, 6);
      }),
    );
  });
});

describe("dynamicWeights", () => {
  const make = (more = {}) => dynamicWeights({ a: field("a"), b: field("b") }, { window: 3, ...more });

  it("are equal until the window is full, and come from earlier steps only", async () => {
    const term = make({ momentum: 0 });
    const seen: number[] = [];
    for (const [i, a] of [0, 0.1, 0.2, 0.3].entries()) seen.push(await step(term, i + 1, { a, b: 1 }));
    const weight = 1 / (1 + Math.E);
    expect(seen.slice(0, 3)).toEqual([0.5, 0.55, 0.6]);
    expect(seen[3]).toBeCloseTo(weight * 0.3 + (1 - weight), 12);
  });

  it("move with momentum η: w ← η w + (1 − η) w_new", async () => {
    const term = dynamicWeights(
      { relevance: field("x"), faithfulness: field("y"), brevity: field("z") },
      { window: 5 },
    );
    for (let i = 0; i < 5; i++)
      await step(term, i + 1, { x: golden[0]![i], y: golden[1]![i], z: golden[2]![i] });
    const { weights } = term.state!() as { weights: number[] };
    for (const [j, weight] of goldenWeights.entries())
      expect(weights[j]).toBeCloseTo(0.8 / 3 + 0.2 * weight, 6);
    expect(await step(term, 6, { x: 1, y: 0, z: 0 })).toBeCloseTo(weights[0]!, 12);
  });

  it("are logged, and survive a checkpoint", async () => {
    let term = make();
    for (const [i, a] of [0, 0.1, 0.3].entries()) await step(term, i + 1, { a, b: 1 });
    const saved: Json = JSON.parse(JSON.stringify(term.state!()));
    const continued = [await step(term, 4, { a: 0.2, b: 1 }), await step(term, 5, { a: 0.2, b: 1 })];
    term = make();
    term.restore!(saved);
    expect([await step(term, 4, { a: 0.2, b: 1 }), await step(term, 5, { a: 0.2, b: 1 })]).toEqual(continued);
    expect(continued[0]).not.toBe(0.6);
    const [scored] = await make().score(episodes({ a: 1, b: 1 }), context);
    expect(scored).toMatchObject({
      rewards: expect.arrayContaining([{ name: "weighted.a", value: 0.5, logged: true }]),
    });
  });

  it("forget what is older than the window", async () => {
    const term = make({ window: 2, momentum: 0 });
    for (const [i, a] of [0, 9, 1, 1].entries()) await step(term, i + 1, { a, b: 0 });
    expect(term.state!()).toMatchObject({
      means: [
        [1, 1],
        [0, 0],
      ],
    });
    expect(await step(term, 5, { a: 1, b: 0 })).toBe(0.5);
  });

  it("refuse the state of other rewards", () => {
    const value = reward("value", ({ result }) => result as number);
    const term = dynamicWeights({ a: value, b: field("b") });
    const other = dynamicWeights({ a: value, c: field("c") });
    const means = [[1], [1]];
    const wrong = [
      null,
      [],
      { means: [[1]], weights: [1] },
      { means: [["x"], []], weights: [0.5, 0.5] },
      { means },
      { means, weights: [1] },
      other.state!(),
    ];
    for (const state of wrong as Json[]) expect(() => term.restore!(state)).toThrow(/does not belong/);
    const nested = sum({ inner: term });
    expect(() => nested.restore!(sum({ inner: value }).state!())).not.toThrow();
    expect(() => nested.restore!(sum({ outer: value }).state!())).toThrow(/does not belong/);
  });

  it("refuse settings that make no sense, and have the defaults of their card", async () => {
    for (const wrong of [
      { window: 1 },
      { window: 2.5 },
      { temperature: 0 },
      { momentum: 1 },
      { momentum: -0.1 },
    ])
      expect(() => make(wrong)).toThrow(RewardDefinitionError);
    expect(() => make({ ceilings: { c: 1 } })).toThrow(/does not have \(c\)/);
    const { window, temperature, momentum, slopes } = dynamicWeightsCard.defaults;
    const told = {
      window: window!.value as number,
      temperature: temperature!.value as number,
      momentum: momentum!.value as number,
      slopes: slopes!.value as "relative",
    };
    const terms = () => ({ a: field("a"), b: field("b") });
    const [plain, spelled] = [dynamicWeights(terms()), dynamicWeights(terms(), told)];
    for (let i = 0; i < 8; i++) {
      const result = { a: i * i, b: (i % 3) - i };
      expect(await step(plain, i + 1, result)).toBe(await step(spelled, i + 1, result));
    }
  });
});
