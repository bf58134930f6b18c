import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leafF1 } from "../../src/rewards/leaf-f1.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import {
  structured,
  structureParts,
  structureReward,
  structureRewardCard,
} from "../../src/rewards/structure-reward.ts";
import { between } from "../methods/numbers.ts";
import { context, episodes, totals } from "./episodes.ts";

const golden = { valid: 1, structure: 2 / 3, format: 1, correct: 0.75, length: 1 };

describe("structureReward", () => {
  it("has the golden value of RL-Struct", () => {
    expect(structureReward(golden)).toBeCloseTo(0.842342, 6);
  });

  it("is a mean: of what is there, whatever the unit of the weights", () => {
    const unit = between(0, 1);
    const parts = fc.record({ valid: unit, structure: unit, format: unit, correct: unit, length: unit });
    fc.assert(
      fc.property(parts, between(0.1, 9), (given, scale) => {
        const value = structureReward(given);
        expect(value).toBeGreaterThanOrEqual(Math.min(...Object.values(given)) - 1e-12);
        expect(value).toBeLessThanOrEqual(Math.max(...Object.values(given)) + 1e-12);
        const weights = structureRewardCard.defaults.weights!.value as Readonly<Record<string, number>>;
        const scaled = Object.fromEntries(
          Object.entries(weights).map(([part, weight]) => [part, weight * scale]),
        );
        expect(structureReward(given, scaled)).toBeCloseTo(value, 9);
      }),
    );
    expect(structureReward({ valid: 1, format: 0 })).toBeCloseTo(1 / 1.5, 12);
    expect(structureReward(golden, { correct: 0, length: 0 })).toBeCloseTo((1 + 2 / 3 + 0.5) / 2.5, 12);
  });

  it("refuses weights that make no sense", () => {
    expect(() => structureReward({})).toThrow(RewardDefinitionError);
    expect(() => structureReward(golden, { valid: -1 })).toThrow(/weight of valid/);
    expect(() => structureReward(golden, { valid: Number.NaN })).toThrow(RewardDefinitionError);
    expect(() => structureReward({ valid: Number.NaN })).toThrow(RewardDefinitionError);
    expect(() =>
      structured("card", { required: [], weights: { valid: 0, structure: 0, format: 0 } }),
    ).toThrow(/total weight/);
  });
});

describe("structureParts", () => {
  const required = ["title", "year", "tags"];
  const fenced = (value: unknown) => `\`\`\`json\n${JSON.stringify(value)}\n\`\`\``;

  it("sees what a text keeps to", () => {
    const reference = { title: "A", year: 1, tags: ["x", "y"] };
    expect(
      structureParts(fenced({ title: "A", year: 2 }), { required, reference, length: [10, 60] }),
    ).toEqual({
      valid: 1,
      structure: 2 / 3,
      format: 1,
      correct: (2 * 1) / (2 + 4),
      length: 1,
    });
    expect(structureParts('{"title": 1}', { required })).toEqual({ valid: 1, structure: 1 / 3, format: 0 });
    expect(structureParts("{title", { required, reference, length: [0, 3] })).toEqual({
      valid: 0,
      structure: 0,
      format: 0,
      correct: 0,
      length: 0,
    });
  });

  it("takes 3 for valid JSON without keys, and any fence for its content", () => {
    expect(structureParts("3", { required })).toMatchObject({ valid: 1, structure: 0 });
    expect(structureParts("3", { required: [] })).toMatchObject({ valid: 1, structure: 1 });
    expect(structureParts("no", { required: [] })).toMatchObject({ valid: 0, structure: 0 });
    expect(structureParts('```\n{"title": 1}\n```', { required })).toMatchObject({ valid: 1, format: 0 });
    expect(structureParts(`Sure! ${fenced({})}`, { required })).toMatchObject({ valid: 0, format: 0 });
    expect(structureParts('{"toString": 1}', { required: ["valueOf"] })).toMatchObject({ structure: 0 });
    expect(structureParts("x", { required, isWellFormed: (text) => text === "x" })).toMatchObject({
      format: 1,
    });
  });

  it("has the ends of the length band in it", () => {
    for (const [text, inside] of [
      ["12", 1],
      ["1", 0],
      ["1234", 1],
      ["12345", 0],
    ] as const)
      expect(structureParts(text, { required, length: [2, 4] }).length).toBe(inside);
  });

  it("compares leaves by path and value", () => {
    expect(leafF1({ a: 1, b: { c: [1, 2] } }, { b: { c: [1, 2] }, a: 1 })).toBe(1);
    expect(leafF1({ a: 1, b: 2 }, { a: 1, b: "2" })).toBe(0.5);
    expect(leafF1([1, 2], [2, 1])).toBe(0);
    expect(leafF1({}, {})).toBe(1);
    expect(leafF1({}, { a: 1 })).toBe(0);
    expect(leafF1({ "a.b": 1 }, { a: { b: 1 } })).toBe(0);
    expect(leafF1({ a: 1, b: 2, c: 3 }, { a: 1 })).toBe(0.5);
    expect(leafF1(null, null)).toBe(1);
  });
});

describe("structured", () => {
  it("logs its parts", async () => {
    const term = structured("card", { required: ["a"], reference: () => ({ a: 1 }) });
    const [scored] = await term.score(episodes('{"a": 1}'), context);
    expect(scored).toEqual({
      rewards: [
        { name: "card", value: expect.closeTo(3 / 3.5, 12) },
        { name: "card.valid", value: 1, logged: true },
        { name: "card.structure", value: 1, logged: true },
        { name: "card.format", value: 0, logged: true },
        { name: "card.correct", value: 1, logged: true },
      ],
    });
  });

  it("fails where there is no text or no reference, that episode alone", async () => {
    const term = structured("card", {
      required: [],
      reference: ({ result }) => (result === "1" ? undefined : 1),
    });
    expect((await totals(term, episodes({ a: 1 }, "1", "2"))).slice(0, 2)).toEqual([
      "E_REWARD_THREW",
      "E_REWARD_THREW",
    ]);
    const own = structured("card", { required: ["a"], text: ({ result }) => JSON.stringify(result) });
    expect(await totals(own, episodes({ a: 1 }))).toEqual([expect.closeTo(2 / 2.5, 12)]);
  });
});
