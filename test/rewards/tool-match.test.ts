import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChatToolCall } from "../../src/engine/policy.ts";
import { needsOf, RewardDefinitionError } from "../../src/rewards/reward.ts";
import { multisetJaccard, toolCorrectness, toolMatch, toolMatchCard } from "../../src/rewards/tool-match.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

const tool = (name: string, given: Readonly<Record<string, unknown>> = {}): ChatToolCall => ({
  name,
  arguments: given,
});
const weather = tool("weather", { city: "Paris", unit: "C" });

describe("toolCorrectness", () => {
  it("has the golden values of ToolRL", () => {
    const nearly = tool("weather", { city: "Paris", unit: "F" });
    expect(toolCorrectness([nearly], [weather])).toBeCloseTo(1.5, 12);
    expect(toolCorrectness([nearly], [weather, tool("time", { zone: "CET" })])).toBeCloseTo(-0.5, 12);
  });

  it("is 3 for equal lists, −3 for what cannot be read, 0 where no tool is expected", () => {
    expect(toolCorrectness([weather], [tool("weather", { unit: "C", city: "Paris" })])).toBe(3);
    expect(toolCorrectness(undefined, [weather])).toBe(-3);
    expect(toolCorrectness([], [weather])).toBe(-3);
    expect(toolCorrectness([tool("other")], [weather])).toBe(-3);
    for (const predicted of [undefined, [], [weather]]) expect(toolCorrectness(predicted, [])).toBe(0);
    expect(toolCorrectness([{ ...weather, id: 7 } as ChatToolCall], [weather])).toBe(3);
  });

  it("uses each prediction once, the best first come", () => {
    // Names 1; first gold takes its exact match (1 + 1), second the other (1 + 0): 4 of 5.
    const gold = [tool("go", { to: 1 }), tool("go", { to: 2 })];
    expect(toolCorrectness([tool("go", { to: 3 }), tool("go", { to: 1 })], gold)).toBeCloseTo(
      (6 * 4) / 5 - 3,
      12,
    );
    // What matches nothing is not used up: names 1/2, then nothing, then 1 + 1.
    const apart = [tool("go", { to: 1 }), tool("go", { by: 1 })];
    expect(toolCorrectness([tool("go", { by: 1 })], apart)).toBeCloseTo((6 * 2.5) / 5 - 3, 12);
    // One prediction for both: names 1/2, then 1 + 1.
    expect(toolCorrectness([tool("go", { to: 1 })], gold)).toBeCloseTo((6 * 2.5) / 5 - 3, 12);
  });

  it("takes off for tools and parameters too many", () => {
    const spare = tool("weather", { city: "Paris", unit: "C", day: 1 });
    expect(toolCorrectness([spare], [weather])).toBeCloseTo((6 * (1 + 2 / 3 + 2)) / 4 - 3, 12);
    expect(toolCorrectness([weather, weather], [weather])).toBeCloseTo((6 * (0.5 + 3)) / 4 - 3, 12);
  });

  it("compares values deeply, and not across types", () => {
    const gold = [tool("add", { rows: [{ a: 1, b: [2] }] })];
    expect(toolCorrectness([tool("add", { rows: [{ b: [2], a: 1 }] })], gold)).toBe(3);
    expect(toolCorrectness([tool("add", { rows: [{ b: ["2"], a: 1 }] })], gold)).toBeCloseTo(
      (6 * 2) / 3 - 3,
      12,
    );
    expect(
      toolCorrectness([tool("f", JSON.parse('{"__proto__": 1}'))], [tool("f", { toString: 1 })]),
    ).toBeCloseTo(-1, 12);
  });

  it("lies in the range, is scaled by it, and takes gold of different names in any order", () => {
    const value = fc.constantFrom(1, 2, "x");
    const one = (names: readonly string[]) =>
      fc.record({
        name: fc.constantFrom(...names),
        arguments: fc.dictionary(fc.constantFrom("p", "q", "r"), value),
      });
    const predictions = fc.array(one(["a", "b", "c"]), { maxLength: 4 });
    const gold = fc.uniqueArray(one(["a", "b", "c"]), {
      minLength: 1,
      maxLength: 3,
      selector: ({ name }) => name,
    });
    fc.assert(
      fc.property(predictions, gold, (made, wanted) => {
        const value = toolCorrectness(made, wanted);
        expect(value).toBeGreaterThanOrEqual(-3);
        expect(value).toBeLessThanOrEqual(3);
        expect(toolCorrectness(made, wanted, 1)).toBeCloseTo(value / 3, 12);
        expect(toolCorrectness(made, [...wanted].reverse())).toBeCloseTo(value, 9);
        expect(toolCorrectness(wanted, wanted)).toBe(3);
      }),
    );
  });

  it("counts names as multisets", () => {
    expect(multisetJaccard([], [])).toBe(1);
    expect(multisetJaccard(["a"], [])).toBe(0);
    expect(multisetJaccard(["a", "a", "b"], ["a", "c"])).toBe(1 / 4);
    expect(multisetJaccard(["a", "b"], ["b", "a"])).toBe(1);
  });

  it("refuses ranges that are none, and has the defaults of its card", () => {
    for (const range of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => toolCorrectness([], [], range)).toThrow(RewardDefinitionError);
    expect(() => toolMatch("tools", { gold: () => [], range: 0 })).toThrow(RewardDefinitionError);
    const { range } = toolMatchCard.defaults;
    expect(toolCorrectness([weather], [weather])).toBe(range!.value);
  });
});

describe("toolMatch", () => {
  it("takes the tools that the model asked for, and adds the format: the golden 2.5", async () => {
    const nearly = tool("weather", { city: "Paris", unit: "F" });
    const group = [
      episode({
        result: "<think>",
        calls: [
          { agent: "a", toolCalls: [nearly] },
          { agent: "b", toolCalls: [weather] },
        ],
      }),
    ];
    const term = toolMatch("tools", {
      gold: () => [weather],
      agent: "a",
      format: ({ result }) => result === "<think>",
    });
    const [scored] = await term.score(group, context);
    expect(scored).toEqual({
      rewards: [
        { name: "tools", value: 2.5 },
        { name: "tools.correctness", value: 1.5, logged: true },
        { name: "tools.format", value: 1, logged: true },
      ],
    });
    expect(needsOf(term).agents).toEqual(["a"]);
    const all = toolMatch("tools", { gold: () => [nearly, weather] });
    expect(await totals(all, group)).toEqual([3]);
  });

  it("takes predictions of one's own, and ranges that follow the step", async () => {
    const term = toolMatch("tools", {
      gold: () => [weather],
      predicted: ({ result }) => (result === "unreadable" ? undefined : [weather]),
      range: (step) => step,
    });
    expect(await totals(term, episodes("unreadable", "fine"), { ...context, step: 2 })).toEqual([-2, 2]);
  });

  it("fails where the gold tools are not told or a function throws, that episode alone", async () => {
    const term = toolMatch("tools", {
      gold: ({ result }) => {
        if (result === "throw") throw new Error("no key");
        return (result === "none" ? undefined : []) as readonly ChatToolCall[];
      },
    });
    expect(await totals(term, episodes("throw", "none", "ok"))).toEqual([
      "E_REWARD_THREW",
      "E_REWARD_MISSING",
      0,
    ]);
  });
});
