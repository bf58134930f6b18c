import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ConsistencyOptions,
  informationConsistency,
  informationConsistencyCard,
  informationConsistent,
  wordEntropy,
} from "../../src/rewards/information-consistency.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { between } from "../methods/numbers.ts";
import { episodes, totals } from "./episodes.ts";

const golden = [3, 3.4, 3.2];
const range: ConsistencyOptions = { lowest: 2, highest: 4, largestGap: 1 };
const close = (actual: readonly (number | string)[], wanted: readonly number[]) => {
  expect(actual.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) expect(actual[i]).toBeCloseTo(value, 6);
};
const centred = (values: readonly number[]) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
};

describe("informationConsistency", () => {
  it("has the golden values", () => {
    close(informationConsistency(golden, { ...range, helpfulness: 1, stability: 0 }), [0.5, 0.7, 0.6]);
    close(informationConsistency(golden, { ...range, helpfulness: 0, stability: 1 }), [0.7, 0.7, 0.8]);
    const values = informationConsistency(golden, range);
    close(values, [0.6, 0.7, 0.7]);
    close(centred(values), [-0.066667, 0.033333, 0.033333]);
  });

  it("in the notes' form loses its stability to the baseline of a group", () => {
    const whole = { ...range, form: "group" } as const;
    close(
      informationConsistency(golden, { ...whole, helpfulness: 0, stability: 1 }),
      Array(3).fill(0.733333),
    );
    close(centred(informationConsistency(golden, whole)), [-0.05, 0.05, 0]);
  });

  it("is stable alone, and empty of none", () => {
    expect(informationConsistency([3], range)).toEqual([0.75]);
    expect(informationConsistency([3], { ...range, form: "group" })).toEqual([0.75]);
    expect(informationConsistency([], range)).toEqual([]);
  });

  it("permutes with the group, and both forms have the same mean", () => {
    fc.assert(
      fc.property(fc.array(between(0, 6), { minLength: 1, maxLength: 6 }), (entropies) => {
        const values = informationConsistency(entropies, range);
        close(informationConsistency([...entropies].reverse(), range).reverse(), values);
        const whole = informationConsistency(entropies, { ...range, form: "group" });
        const total = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0);
        expect(total(values)).toBeCloseTo(total(whole), 9);
      }),
    );
  });

  it("refuses ranges that are none", () => {
    for (const wrong of [{ highest: 2 }, { largestGap: 0 }, { helpfulness: Number.NaN }]) {
      expect(() => informationConsistency(golden, { ...range, ...wrong })).toThrow(RewardDefinitionError);
      expect(() => informationConsistent("steady", { ...range, ...wrong })).toThrow(RewardDefinitionError);
    }
    expect(() => informationConsistency([Number.NaN], range)).toThrow(RewardDefinitionError);
  });

  it("has the defaults of its card, and of the gap", () => {
    const { helpfulness, stability, form } = informationConsistencyCard.defaults;
    const told = {
      helpfulness: helpfulness!.value as number,
      stability: stability!.value as number,
      form: form!.value as "response",
    };
    expect(informationConsistency(golden, range)).toEqual(
      informationConsistency(golden, { ...range, ...told }),
    );
    const open = { lowest: 2, highest: 4 };
    expect(informationConsistency(golden, open)).toEqual(
      informationConsistency(golden, { ...open, largestGap: 2 }),
    );
  });
});

describe("word entropy", () => {
  it("is of words, in bits", () => {
    expect(wordEntropy("a b c d")).toBe(2);
    expect(wordEntropy("Yes, yes — YES!")).toBe(0);
    expect(wordEntropy("a a b b")).toBe(1);
    expect(wordEntropy("a a a b")).toBeCloseTo(0.811278, 6);
    expect(wordEntropy(" … ")).toBe(0);
    expect(wordEntropy("äé 猫 äé 犬")).toBe(1.5);
  });
});

describe("informationConsistent", () => {
  it("compares the answers of a group", async () => {
    const term = informationConsistent("steady", { lowest: 0, highest: 4, largestGap: 2 });
    // H = 2, 2, 1; help = .5, .5, .25; F = .75, .75, .5
    close(await totals(term, episodes("a b c d", "e f g h", "a b a b")), [0.625, 0.625, 0.375]);
    const own = informationConsistent("steady", { lowest: 0, highest: 4, text: () => "a b" });
    close(await totals(own, episodes("x", "y")), [0.625, 0.625]);
  });

  it("fails the group where a text cannot be told", async () => {
    const term = informationConsistent("steady", {
      ...range,
      text: () => {
        throw new Error("no text");
      },
    });
    expect(await totals(term, episodes("x", "y"))).toEqual(["E_REWARD_THREW", "E_REWARD_THREW"]);
  });
});
