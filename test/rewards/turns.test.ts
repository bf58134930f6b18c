import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchoredScore, anchorWeight } from "../../src/rewards/anchored.ts";
import { gainRewards } from "../../src/rewards/gain-rewards.ts";
import { tokenF1 } from "../../src/rewards/text-match.ts";
import { askRewards, codeRewards, gains, sharedOutcome, type TurnReward } from "../../src/rewards/turns.ts";
import { context, episode } from "./episodes.ts";

const byName = (rewards: readonly TurnReward[]) =>
  Object.fromEntries(rewards.map(({ agent, turn, value }) => [`${agent}_${turn}`, Number(value.toFixed(9))]));

const gold = "Franklin D Roosevelt";
const f1 = (answer: string) => tokenF1(answer, gold);
const illegal = { legal: false } as const;

describe("golden values of UnityMAS-O", () => {
  it("F1", () => {
    expect(tokenF1("The Eiffel Tower in Paris", "Eiffel Tower")).toBeCloseTo(0.666667, 5);
    expect(tokenF1("a", "the")).toBe(1);
    expect(tokenF1("", "x")).toBe(0);
    expect(tokenF1("Barack H. Obama", "Barack Obama")).toBeCloseTo(0.8, 12);
    expect(tokenF1("New York City, New York", "New York City")).toBeCloseTo(0.75, 12);
    expect(tokenF1("1,000", "1000")).toBe(1);
  });

  it("M-ASK", () => {
    const rewards = askRewards({
      plan: { f1: f1("unkown") },
      answer: { f1: f1("Roosevelt") },
      turns: [
        { search: {}, summary: illegal, update: {}, answer: { f1: f1("Franklin Roosevelt") } },
        { search: {}, summary: {}, update: {}, answer: { f1: f1("Theodore Roosevelt") } },
        { search: { end: true } },
      ],
    });
    expect(rewards).toHaveLength(11);
    expect(byName(rewards)).toEqual({
      plan_0: 0,
      answer_0: 0.5,
      search_1: 0.3,
      summary_1: -0.7,
      update_1: 0.3,
      answer_1: 0.8,
      search_2: -0.4,
      summary_2: -0.4,
      update_2: -0.4,
      answer_2: 0.4,
      search_3: 0,
    });
  });

  it("reflective code", () => {
    const rewards = codeRewards([
      { passRate: 0.25, coder: illegal, reflection: {} },
      { passRate: 0.125, reflection: {} },
      { passRate: 1 },
    ]);
    expect(byName(rewards)).toEqual({
      planner_0: 0.25,
      coder_0: -0.75,
      reflection_0: -0.125,
      planner_1: -0.125,
      coder_1: -0.125,
      reflection_1: 0.875,
      planner_2: 0.875,
      coder_2: 0.875,
    });
    expect(byName(codeRewards([{ passRate: 1.5, reflection: {} }]))).toEqual({
      planner_0: 1,
      coder_0: 1,
      reflection_0: 0,
    });
  });

  it("graph and mathematics", () => {
    expect(sharedOutcome(2 / 3, [illegal])[0]).toBeCloseTo(-0.333333, 5);
    expect(sharedOutcome(2 / 3, [{}, {}, {}], { mode: "split" })[0]).toBeCloseTo(0.222222, 5);
    expect(sharedOutcome(1, [{}, illegal, {}, {}])).toEqual([1, 0, 1, 1]);
  });

  it("gains add up to the end less the beginning", () => {
    const values = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(values, (series) => {
        const total = gains(series).reduce((sum, gain) => sum + gain, 0);
        expect(total).toBeCloseTo(series.at(-1)!, 9);
        const delta = askRewards({
          plan: { f1: 0 },
          answer: { f1: series[0]! },
          turns: series.slice(1).map((next) => ({ search: {}, answer: { f1: next } })),
        }).filter(({ agent }) => agent === "search");
        expect(delta.reduce((sum, { value }) => sum + value, 0)).toBeCloseTo(series.at(-1)! - series[0]!, 9);
      }),
    );
  });
});

describe("gainRewards", () => {
  it("gives helpers what the next answer gained, from the calls of an episode", async () => {
    const term = gainRewards("gain", {
      answerer: "answer",
      helpers: ["search", "update"],
      score: ({ text }) => f1(text),
    });
    const one = episode({
      calls: [
        { agent: "plan" },
        { agent: "answer", text: "Roosevelt" },
        { agent: "search" },
        { agent: "update" },
        { agent: "answer", text: "Franklin Roosevelt" },
        { agent: "search", status: "failed" },
        { agent: "search" },
      ],
    });
    const [scored] = await term.score([one], context);
    const values =
      "rewards" in scored! ? scored.rewards.map(({ call, value }) => [call, Number(value.toFixed(9))]) : [];
    expect(values).toEqual([
      [1, 0.5],
      [2, 0.3],
      [3, 0.3],
      [4, 0.8],
      [6, 0],
    ]);
  });

  it("fails where an answer has no score", async () => {
    const term = gainRewards("gain", { answerer: "answer", helpers: [], score: () => Number.NaN });
    const [scored] = await term.score([episode({ calls: [{ agent: "answer" }] })], context);
    expect(scored).toMatchObject({
      failure: { code: "E_REWARD_NOT_FINITE", message: expect.stringMatching(/call 0/) },
    });
  });
});

describe("anchoredScore", () => {
  it("lies where the verdicts put it", () => {
    const beatsSixTiesSeven = anchoredScore([
      { anchor: 6, verdict: "better", confidence: 0.6 },
      { anchor: 7, verdict: "tie", confidence: 1 },
    ]);
    expect(beatsSixTiesSeven).toBeGreaterThan(6.8);
    expect(beatsSixTiesSeven).toBeLessThan(7.2);
    // One anchor alone is met exactly: σ(1.2 (S − 5)) = 0.5 + 0.45 c.
    const score = anchoredScore([{ anchor: 5, verdict: "better", confidence: 0.8 }]);
    expect(1 / (1 + Math.exp(-1.2 * (score - 5)))).toBeCloseTo(0.86, 5);
    expect(anchoredScore([{ anchor: 10, verdict: "better", confidence: 1 }])).toBeCloseTo(10, 5);
    expect(anchorWeight(0, 1)).toBe(0);
    expect(() => anchoredScore([])).toThrow(RangeError);
    expect(() => anchoredScore([{ anchor: 5, verdict: "tie", confidence: 2 }])).toThrow(RangeError);
  });
});
