import { describe, expect, it } from "vitest";
import {
  lengthBonus,
  lengthBonusCard,
  shorterIsBetter,
  thoughtLength,
} from "../../src/rewards/length-bonus.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { episode, totals } from "./episodes.ts";

describe("thoughtLength", () => {
  it("rises to 1 at the limit", () => {
    expect(thoughtLength(" one two\nthree ", 4)).toBe(0.75);
    expect(thoughtLength("a b c d e", 4)).toBe(1);
    expect(thoughtLength("a ".repeat(8))).toBe(8 / 512);
    expect(thoughtLength("  ", 4)).toBe(0);
    expect(() => thoughtLength("a", 0)).toThrow(RewardDefinitionError);
  });
});

describe("length bonus", () => {
  it("falls from 1 to 0 at the limit, for correct answers only", async () => {
    expect(lengthBonus(0)).toBe(1);
    expect(lengthBonus(8192)).toBe(0.75);
    expect(lengthBonus(1000)).toBe(1 - 1000 / (lengthBonusCard.defaults.limit!.value as number));
    expect(lengthBonus(40_000)).toBe(0);
    const of = (result: unknown, tokens: number, agent = "a") =>
      episode({
        result,
        calls: [
          { agent, output: new Int32Array(tokens) },
          { agent: "b", output: new Int32Array(5) },
        ],
      });
    const term = shorterIsBetter("brief", { correct: ({ result }) => result === true, limit: 20 });
    expect(await totals(term, [of(true, 5), of(false, 5), of(true, 30)])).toEqual([0.5, 0, 0]);
    const own = shorterIsBetter("brief", { correct: () => true, limit: 20, agent: "a" });
    expect(await totals(own, [of(true, 5)])).toEqual([0.75]);
    expect(() => lengthBonus(-1)).toThrow(RewardDefinitionError);
    expect(() => shorterIsBetter("brief", { correct: () => true, limit: 0 })).toThrow(RewardDefinitionError);
  });
});
