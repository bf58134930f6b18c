import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupJudgeReward, judgeTraining } from "../../src/rewards/group-judge.ts";
import { listed, relativeJudge } from "../../src/rewards/relative-judge.ts";
import { needsOf, RewardDefinitionError } from "../../src/rewards/reward.ts";
import { readScoredRanking } from "../../src/rewards/scored-ranking.ts";
import { scriptedPolicy } from "../../src/testing/index.ts";
import { context, episodes, totals } from "./episodes.ts";

const labels = ["1", "2", "3"];

describe("groupJudgeReward", () => {
  it("has the golden value of GRRM", () => {
    const value = groupJudgeReward([8, 4, 4], [8, 3, 5]);
    expect(value).toBeCloseTo(1.133333, 6);
  });

  it("is 2 for the reference itself and for one that is shifted, 0 for no form", () => {
    expect(groupJudgeReward([8, 3, 5], [8, 3, 5])).toBe(2);
    expect(groupJudgeReward([9, 4, 6], [8, 3, 5])).toBe(2);
    expect(groupJudgeReward(undefined, [8, 3, 5])).toBe(0);
  });

  it("counts a tie on one side as wrong, and margins of 0, 1 and 2 alone", () => {
    expect(groupJudgeReward([5, 5], [6, 5])).toBeCloseTo(0.6, 12);
    expect(groupJudgeReward([5, 5], [5, 5])).toBe(2);
    expect(groupJudgeReward([7, 5], [9, 5])).toBeCloseTo(1.2, 12);
    expect(groupJudgeReward([6, 5], [9, 5])).toBe(1);
    // Differences have a sign: 1 and −1 are two apart.
    expect(groupJudgeReward([5, 6], [6, 5])).toBeCloseTo(0.2, 12);
  });

  it("is the same in any order of candidates, and symmetric in judge and reference", () => {
    const scores = fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(scores, scores, (told, wanted) => {
        const value = groupJudgeReward(told, wanted);
        expect(groupJudgeReward([...told].reverse(), [...wanted].reverse())).toBeCloseTo(value, 12);
        expect(groupJudgeReward(wanted, told)).toBeCloseTo(value, 12);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(2);
      }),
    );
  });

  it("refuses what cannot be compared", () => {
    expect(() => groupJudgeReward([1], [1])).toThrow(RewardDefinitionError);
    expect(() => groupJudgeReward(undefined, [])).toThrow(RewardDefinitionError);
    expect(() => groupJudgeReward([1, 2], [1, 2, 3])).toThrow(/3 scores/);
    expect(() => groupJudgeReward([1, Number.NaN], [1, 2])).toThrow(RewardDefinitionError);
  });
});

describe("readScoredRanking", () => {
  const written = (ranking: string, scores: string) =>
    `Analysis: fine.\nRanking: ${ranking}\nScores: ${scores}`;

  it("reads scores in the order of the labels", () => {
    expect(readScoredRanking(written("2 > 1 = 3", "1: 7, 2: 9, 3: 7"), labels)).toEqual([7, 9, 7]);
    expect(readScoredRanking(written("[2] > [3] > [1]", "[2]: 10; [3] = 1; [1]: 0"), labels)).toEqual([
      0, 10, 1,
    ]);
    expect(readScoredRanking(`${written("1 > 2 > 3", "1: 3, 2: 2, 3: 1")}\nDone.`, labels)).toEqual([
      3, 2, 1,
    ]);
    expect(readScoredRanking("Scores: A: 5, B: 5\nRanking: A = B", ["A", "B"])).toEqual([5, 5]);
  });

  it("refuses scores that imply another ranking, are no integers from 0 to 10, or are missing", () => {
    const wrong: readonly (readonly [string, string, RegExp])[] = [
      ["1 > 2 > 3", "1: 7, 2: 7, 3: 1", /another ranking/],
      ["1 = 2 > 3", "1: 7, 2: 6, 3: 1", /another ranking/],
      ["3 > 2 > 1", "1: 7, 2: 6, 3: 1", /another ranking/],
      ["1 > 2 > 3", "1: 11, 2: 7, 3: 1", /not an integer/],
      ["1 > 2 > 3", "1: 8, 2: 7, 3: -1", /not an integer/],
      ["1 > 2 > 3", "1: 8, 2: 7.5, 3: 1", /not an integer/],
      ["1 > 2 > 3", "1: 8, 2: 7", /no line of it scores/],
      ["1 > 2 > 3", "1: 8, 2: 7, 2: 7, 3: 1", /no line of it scores/],
      ["1 > 2", "1: 8, 2: 7, 3: 1", /no line of it orders/],
    ];
    for (const [ranking, scores, why] of wrong)
      expect(() => readScoredRanking(written(ranking, scores), labels)).toThrow(why);
  });

  it("is a reader for relativeJudge", async () => {
    const policy = await scriptedPolicy({
      answer: (prompt) => {
        const shown = [...prompt.matchAll(/\[(\d)\] (\d)/gu)].map(
          ([, label, quality]) => [label, Number(quality)] as const,
        );
        const ranked = [...shown].sort(([, a], [, b]) => b - a);
        return `Ranking: ${ranked.map(([label]) => label).join(" > ")}\nScores: ${shown.map(([label, quality]) => `${label}: ${quality}`).join(", ")}`;
      },
    }).open({ name: "judge", seed: 0 });
    const term = relativeJudge("better", {
      policy: "judge",
      prompt: (candidates) => listed(candidates),
      parse: readScoredRanking,
      scores: "value",
    });
    const given = { ...context, policies: new Map([["judge", policy]]) };
    expect(await totals(term, episodes("3", "9", "5"), given)).toEqual([3, 9, 5]);
  });
});

describe("judgeTraining", () => {
  it("rewards the judge's calls, and an output without the form with 0", async () => {
    const term = judgeTraining("agrees", { agent: "judge", reference: () => [8, 3, 5] });
    const group = episodes("Ranking: 1 > 2 = 3\nScores: 1: 8, 2: 4, 3: 4", "no idea");
    expect(await term.score(group, context)).toEqual([
      {
        rewards: [
          { name: "agrees", value: expect.closeTo(1.133333, 5), agent: "judge" },
          { name: "agrees.legal", value: 1, logged: true },
        ],
      },
      {
        rewards: [
          { name: "agrees", value: 0, agent: "judge" },
          { name: "agrees.legal", value: 0, logged: true },
        ],
      },
    ]);
    expect(needsOf(term).agents).toEqual(["judge"]);
  });

  it("takes labels, texts and readers of one's own, and fails where there is nothing to compare", async () => {
    const term = judgeTraining("agrees", {
      labels: () => ["a", "b"],
      reference: () => [1, 2],
      text: ({ result }) => (result as { said: string }).said,
      parse: (text, names) => names.map((name) => text.indexOf(name)),
    });
    expect(await totals(term, episodes({ said: "ab" }, { said: "ba" }))).toEqual([2, 0.2]);
    const odd = judgeTraining("odd", { reference: ({ result }) => (result === "one" ? [1] : [1, 2]) });
    expect(await totals(odd, episodes("one", 7, "x"))).toEqual(["E_REWARD_RANGE", "E_REWARD_THREW", 0]);
    const short = judgeTraining("short", { reference: () => [1, 2], parse: () => [1] });
    expect(await totals(short, episodes("x"))).toEqual(["E_REWARD_RANGE"]);
  });
});
