/** @file Golden reuse counts, passes in both forms, novelty that wears off, embeddings, and a checkpoint. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manger, mangerCard } from "../../../src/methods/schedule/manger.ts";
import { randomDistillation } from "../../../src/methods/schedule/random-distillation.ts";
import { extraPasses, reuseCounts } from "../../../src/methods/schedule/reuse-counts.ts";
import { textEmbedding } from "../../../src/methods/schedule/text-embedding.ts";
import { stream } from "../../../src/random/stream.ts";
import { between } from "../numbers.ts";

const ones = (count: number) => Array<number>(count).fill(1);

describe("reuseCounts", () => {
  it("golden", () => {
    expect([...reuseCounts([1, 1, 1, 9])]).toEqual([0, 0, 0, 1]);
    expect([...reuseCounts([...ones(11), 13])]).toEqual([...Array(11).fill(0), 3]);
    // z is 3.175426, so a cap of 2 or 4 tells that it is cut, and where.
    expect(reuseCounts([...ones(11), 13], { most: 4 })[11]).toBe(3);
    expect(reuseCounts([...ones(11), 13], { most: 2 })[11]).toBe(2);
    // z = 3.175426 + 0.140 with ddof 0; of 1, 1, 1, 9 it is √3.
    expect([...reuseCounts([1, 1, 1, 9], { ddof: 0 })]).toEqual([0, 0, 0, 1]);
    const many = [...ones(16), 17];
    expect(reuseCounts(many, { most: 9 })[16]).toBe(3);
    expect(reuseCounts(many, { most: 9, ddof: 0 })[16]).toBe(4);
    expect(reuseCounts(many, { most: 9, epsilon: 1 })[16]).toBe(3);
    expect(reuseCounts(many, { most: 9, epsilon: 5 })[16]).toBe(1);
  });

  it("is zero for a group of one, equal novelties, and none", () => {
    expect([...reuseCounts([])]).toEqual([]);
    expect([...reuseCounts([4])]).toEqual([0]);
    expect([...reuseCounts([4], { ddof: 0 })]).toEqual([0]);
    expect([...reuseCounts([0.1, 0.1, 0.1])]).toEqual([0, 0, 0]);
    expect([...reuseCounts([0, 0])]).toEqual([0, 0]);
    // Six times 0.1 has a mean of a little less.
    expect([...reuseCounts(Array(6).fill(0.1), { ddof: 0 })]).toEqual(Array(6).fill(0));
  });

  it("does not depend on order, shift or scale, and is never for the less new half alone", () => {
    fc.assert(
      fc.property(fc.array(between(0, 9), { minLength: 2, maxLength: 12 }), (novelties) => {
        const counts = [...reuseCounts(novelties)];
        expect([...reuseCounts(novelties.toReversed())].toReversed()).toEqual(counts);
        // Powers of two, so that rounding is the same.
        expect([...reuseCounts(novelties.map((novelty) => novelty * 4))]).toEqual(counts);
        const mean = novelties.reduce((sum, novelty) => sum + novelty, 0) / novelties.length;
        for (const [i, count] of counts.entries()) {
          expect(count).toBeGreaterThanOrEqual(0);
          expect(count).toBeLessThanOrEqual(3);
          if (novelties[i]! < mean) expect(count).toBe(0);
        }
      }),
    );
  });

  it("refuses what makes no sense", () => {
    expect(() => reuseCounts([1, Number.NaN])).toThrow(/Novelty 1 of a group is NaN/);
    expect(() => reuseCounts([-1])).toThrow(/Novelty 0 of a group is -1/);
    expect(() => reuseCounts([1], { ddof: 2 as 1 })).toThrow(/ddof 2/);
    expect(() => reuseCounts([1], { most: 0.5 })).toThrow(/most 0.5/);
    expect(() => reuseCounts([1], { epsilon: -1 })).toThrow(/epsilon -1/);
  });
});

describe("extraPasses", () => {
  it("by hand, in the paper's form and the code's", () => {
    expect(extraPasses([0, 3, 1, 2])).toEqual([[1, 2, 3], [1, 3], [1]]);
    expect(extraPasses([0, 3, 1, 2], "official code")).toEqual([[1, 3], [1]]);
    expect(extraPasses([0, 0])).toEqual([]);
    expect(extraPasses([1, 1], "official code")).toEqual([]);
    expect(extraPasses([])).toEqual([]);
  });

  it("gives every sample as many passes as it counts", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5 })), (counts) => {
        for (const [form, less] of [
          ["paper", 0],
          ["official code", 1],
        ] as const) {
          const passes = extraPasses(counts, form).flat();
          for (const [place, count] of counts.entries())
            expect(passes.filter((one) => one === place).length).toBe(Math.max(0, count - less));
        }
      }),
    );
  });
});

describe("randomDistillation", () => {
  const observation = (name: string) => {
    const random = stream("observation", name);
    return Float64Array.from({ length: 6 }, () => random.normal());
  };

  it("wears off what it has seen, and not what it has not", () => {
    const distillation = randomDistillation({ inputs: 6, every: 1, learningRate: 5e-3 });
    const [seen, unseen] = [observation("seen"), observation("unseen")];
    const before = [distillation.novelty(seen), distillation.novelty(unseen)];
    expect(distillation.learn([seen])).toBeCloseTo(before[0]!, 12);
    for (let i = 0; i < 200; i++) distillation.learn([seen]);
    expect(distillation.novelty(seen)).toBeLessThan(0.01 * before[0]!);
    expect(distillation.novelty(unseen)).toBeGreaterThan(10 * distillation.novelty(seen));
  });

  it("a step goes down the gradient of the mean", () => {
    const distillation = randomDistillation({ inputs: 6, every: 1, learningRate: 1e-4 });
    const observations = ["a", "b", "c"].map(observation);
    const mean = () =>
      observations.reduce((sum, one) => sum + distillation.novelty(one), 0) / observations.length;
    const before = mean();
    distillation.learn(observations);
    expect(mean()).toBeLessThan(before);
  });

  it("steps every second call", () => {
    const distillation = randomDistillation({ inputs: 6 });
    const before = distillation.novelty(observation("a"));
    distillation.learn([observation("a")]);
    expect(distillation.novelty(observation("a"))).toBe(before);
    distillation.learn([observation("a")]);
    expect(distillation.novelty(observation("a"))).toBeLessThan(before);
  });

  it("refuses what makes no sense", () => {
    expect(() => randomDistillation({ inputs: 0 })).toThrow(/inputs 0/);
    expect(() => randomDistillation({ inputs: 1, width: 0 })).toThrow(/width 0/);
    expect(() => randomDistillation({ inputs: 1, every: 0 })).toThrow(/every 0/);
    expect(() => randomDistillation({ inputs: 1, learningRate: 0 })).toThrow(/learningRate 0/);
    const distillation = randomDistillation({ inputs: 2 });
    expect(() => distillation.novelty([1])).toThrow(/has 1 numbers; the network has 2/);
    expect(() => distillation.learn([])).toThrow(/at least one/);
    for (const state of [null, {}, randomDistillation({ inputs: 3 }).state()])
      expect(() => distillation.restore(state)).toThrow(/a state that it did not write/);
  });
});

describe("textEmbedding", () => {
  it("has length 1, is the same for the same text, and near for near texts", () => {
    const [a, b, c] = ["the cat sat on the mat", "the cat sat on a mat", "entirely other words"].map((text) =>
      textEmbedding(text, 256),
    );
    const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
    expect(dot(a!, a!)).toBeCloseTo(1, 12);
    expect(textEmbedding("the cat sat on the mat", 256)).toEqual(a);
    expect(dot(a!, b!)).toBeGreaterThan(0.6);
    expect(dot(a!, c!)).toBeLessThan(0.3);
    expect(Math.min(...a!)).toBeLessThan(0);
    expect(Math.hypot(...textEmbedding("a", 8))).toBeCloseTo(1, 12);
    expect(Math.hypot(...textEmbedding("", 8))).toBe(0);
    expect(() => textEmbedding("a", 0)).toThrow(/width 0/);
  });
});

describe("manger", () => {
  const calls = [
    ...Array.from({ length: 11 }, () => ({ group: "a", text: "the usual answer" })),
    { group: "a", text: "something that nobody has said before" },
    { group: "b", text: "the usual answer" },
    { group: "b", text: "the usual answer" },
  ];

  it("goes through what is new within its group again, until it is not new", () => {
    const reuse = manger({ every: 1, learningRate: 5e-3 });
    for (let i = 0; i < 100; i++) reuse.observe(calls.slice(0, 11));
    expect(reuse.extraEpochs(calls)).toEqual([[11], [11], [11]]);
    const code = manger({ form: "official code", every: 1, learningRate: 5e-3 });
    code.restore(reuse.state());
    expect(code.extraEpochs(calls)).toEqual([[11], [11]]);
    // Pure.
    expect(reuse.extraEpochs(calls)).toEqual([[11], [11], [11]]);
    const before = reuse.novelties(calls)[11]!;
    for (let i = 0; i < 100; i++) reuse.observe(calls.slice(11, 12));
    expect(reuse.novelties(calls)[11]!).toBeLessThan(0.1 * before);
  });

  it("compares within groups only", () => {
    const reuse = manger({ every: 1, learningRate: 5e-3 });
    for (let i = 0; i < 100; i++) reuse.observe(calls.slice(0, 1));
    const alone = calls.map((call, i) => (i === 11 ? { ...call, group: "alone" } : call));
    expect(reuse.extraEpochs(alone)).toEqual([]);
    expect(reuse.extraEpochs([])).toEqual([]);
  });

  it("goes on from a checkpoint as if it had not stopped", () => {
    const going = manger();
    for (let i = 0; i < 3; i++) going.observe(calls);
    const resumed = manger();
    resumed.restore(JSON.parse(JSON.stringify(going.state())));
    for (let i = 0; i < 3; i++) expect(resumed.observe(calls)).toBe(going.observe(calls));
    expect(resumed.novelties(calls)).toEqual(going.novelties(calls));
  });

  it("its card says its defaults", () => {
    const { settings } = manger();
    for (const [name, { value }] of Object.entries(mangerCard.defaults))
      expect(settings[name]).toEqual(value);
    expect(Object.keys(mangerCard.defaults).sort()).toEqual(Object.keys(settings).sort());
  });

  it("refuses settings that make no sense", () => {
    expect(() => manger({ form: "other" as "paper" })).toThrow(/form "other"/);
    expect(() => manger({ most: -1 })).toThrow(/most -1/);
    expect(() => manger({ embedding: 0 })).toThrow(/inputs 0/);
  });
});
