/** Role penalty, rank consistency, reflection gain and public goods. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { publicGoods } from "../../../src/methods/credit/public-goods.ts";
import { ndcg, rankConsistency, softmax } from "../../../src/methods/credit/rank-consistency.ts";
import { reflectGain } from "../../../src/methods/credit/reflect-gain.ts";
import { rolePenalty } from "../../../src/methods/credit/role-penalty.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../../../src/methods/method.ts";
import type { CreditAssigner } from "../../../src/methods/parts.ts";
import { between } from "../numbers.ts";

const groupOf = (...episodes: readonly RewardedEpisode[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes,
});
const episode = (
  reward: number,
  ...calls: readonly (Partial<RewardedCall> & { agent: string })[]
): RewardedEpisode => ({
  id: "e",
  reward,
  calls: calls.map((call) => ({ reward, ...call })),
});
const values = (credit: CreditAssigner, ...episodes: readonly RewardedEpisode[]) =>
  credit.assign(groupOf(...episodes)).values.map((row) => [...row]);
const near = (rows: readonly (readonly number[])[]) =>
  rows.map((row) => row.map((value) => expect.closeTo(value, 5)));

describe("role penalty", () => {
  const credit = rolePenalty({
    selector: ({ text = "" }) => (new Set(text.split(",")).size < text.split(",").length ? -1 : 0),
  });

  test("the example of the specification: F1 0.8 and an id twice", () => {
    const one = episode(
      0.8,
      { agent: "rewriter" },
      { agent: "selector", text: "3,3" },
      { agent: "generator" },
    );
    expect(values(credit, one)).toEqual(near([[0.8, -0.2, 0.8]]));
    expect(credit.assign(groupOf(one)).compared).toEqual([["rewriter", "selector", "generator"]]);
  });

  test("without penalties every call keeps its reward; a penalty above 0 or without value is refused", () => {
    expect(values(rolePenalty(), episode(1, { agent: "a" }, { agent: "b", reward: 0.5 }))).toEqual([
      [1, 0.5],
    ]);
    for (const wrong of [0.5, Number.NaN, Number.NEGATIVE_INFINITY])
      expect(() => values(rolePenalty({ a: () => wrong }), episode(1, { agent: "a", id: 7 }))).toThrow(
        /"a".*call 7/,
      );
  });
});

describe("rank consistency", () => {
  test("the example of the specification: v = (.95, .60, .80) → w = (.39, .27, .34)", () => {
    expect(softmax([0.95, 0.6, 0.8])).toEqual([0.39, 0.27, 0.34].map((value) => expect.closeTo(value, 2)));
  });

  test("NDCG by hand", () => {
    // Gains 1, 0, 1 in the order 2, 0, 1 of the scores.
    expect(ndcg([0.5, 0.1, 0.9], [1, 0, 1])).toBeCloseTo(1, 9);
    expect(ndcg([0.5, 0.9, 0.1], [1, 0, 1])).toBeCloseTo(
      (1 / Math.log2(3) + 0.5) / (1 + 1 / Math.log2(3)),
      9,
    );
    // Only differences of the outcome count: rewards of −1 and 1 are as good as 0 and 1.
    expect(ndcg([0.5, 0.9, 0.1], [1, -1, 1])).toBeCloseTo(ndcg([0.5, 0.9, 0.1], [1, 0, 1]), 9);
    // Without spread of the outcome every order is right; no episodes at all are no reason for less.
    expect(ndcg([1, 2, 3], [1, 1, 1])).toBe(1);
    expect(ndcg([], [])).toBe(1);
  });

  test("equal scores share their places, so that the order of episodes plays no part", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), between(0, 1)), { minLength: 1, maxLength: 8 }),
        (list) => {
          const scores = list.map(([score]) => score);
          const outcomes = list.map(([, outcome]) => outcome);
          const found = ndcg(scores, outcomes);
          expect(found).toBeGreaterThan(0);
          expect(found).toBeLessThanOrEqual(1 + 1e-9);
          expect(ndcg([...scores].reverse(), [...outcomes].reverse())).toBeCloseTo(found, 9);
        },
      ),
    );
  });

  test("agents whose own rewards order episodes as the outcome does get more of it", () => {
    const team = (local: number, misleading: number, outcome: number) =>
      episode(outcome, { agent: "x", reward: outcome + local }, { agent: "y", reward: outcome + misleading });
    const rows = values(rankConsistency(), team(0.9, 0.1, 1), team(0.5, 0.5, 0), team(0.2, 0.8, 0));
    const v = [1, 1 / Math.log2(4)];
    const [wx, wy] = softmax(v);
    expect(rows).toEqual(
      near([
        [0.9 + wx!, 0.1 + wy!],
        [0.5, 0.5],
        [0.2, 0.8],
      ]),
    );
    expect(wx).toBeGreaterThan(wy!);
  });

  test("one agent alone gets all of the outcome", () => {
    expect(values(rankConsistency(), episode(1, { agent: "x" }), episode(0, { agent: "x" }))).toEqual([
      [1],
      [0],
    ]);
  });
});

describe("reflection gain", () => {
  const squared = (rating: number) => (answer: RewardedCall) => -((rating - Number(answer.text)) ** 2);
  const credit = reflectGain({ reflector: "reflector", answerer: "manager", utility: squared(4) });

  test("the example of the specification: y = 4, 2 → 3 gains 3", () => {
    const one = episode(
      0.5,
      { agent: "manager", text: "2" },
      { agent: "reflector" },
      { agent: "manager", text: "3" },
    );
    expect(values(credit, one)).toEqual([[0.5, 3, 0.5]]);
  });

  test("a reflection that makes it worse loses; one after which no answer comes gains nothing", () => {
    const worse = episode(
      0,
      { agent: "manager", text: "4" },
      { agent: "reflector" },
      { agent: "manager", text: "1" },
    );
    const accepted = episode(0, { agent: "manager", text: "4" }, { agent: "reflector" });
    expect(values(credit, worse, accepted)).toEqual([
      [0, -9, 0],
      [0, 0],
    ]);
  });

  test("a reflection before any answer is not trained on", () => {
    const early = episode(0, { agent: "reflector" }, { agent: "manager", text: "4" });
    const { trained } = credit.assign(groupOf(early));
    expect(trained!.map((row) => [...row])).toEqual([[0, 1]]);
    expect(() => reflectGain({ reflector: "a", answerer: "a" })).toThrow(/another agent/);
  });

  test("each of several reflections is judged by the answers around it; by default with their rewards", () => {
    const twice = episode(
      0,
      { agent: "m", reward: 0.1 },
      { agent: "r" },
      { agent: "m", reward: 0.4 },
      { agent: "r" },
      { agent: "m", reward: 1 },
    );
    expect(values(reflectGain({ reflector: "r", answerer: "m" }), twice)).toEqual(
      near([[0.1, 0.3, 0.4, 0.6, 1]]),
    );
  });
});

describe("public goods", () => {
  const effort = (agent: string, contribution: number) => ({ agent, terms: { contribution } });

  test("the example of the specification: n = 3, S = 0.9, ρ = 1.5 gives each 0.45 besides cost and synergy", () => {
    const rows = values(
      publicGoods({ cost: 0, synergy: 0 }),
      episode(0.9, effort("a", 0.5), effort("b", 0.7), effort("c", 1)),
    );
    expect(rows).toEqual(near([[0.45, 0.45, 0.45]]));
  });

  test("cost, synergy with the mean of those before, and the penalty below the bar", () => {
    const rows = values(
      publicGoods({ cost: 0.2, synergy: 0.5, share: 3, penalty: 0.4, bar: 0.5 }),
      episode(0.3, effort("a", 1), effort("b", 0.5), effort("c", 2)),
    );
    const common = 0.3 - 0.4;
    expect(rows).toEqual(
      near([[-0.2 + common, -0.05 + 0.5 * 0.5 * 1 + common, -0.8 + 0.5 * 2 * 0.75 + common]]),
    );
  });

  test("a score that is the bar itself is not punished", () => {
    const credit = publicGoods({ cost: 0, synergy: 0, share: 1, penalty: 1, bar: 0.5 });
    expect(values(credit, episode(0.5, effort("a", 1)))).toEqual(near([[0.5]]));
  });

  test("a call without a contribution is an error that names it", () => {
    expect(() => values(publicGoods(), episode(1, { agent: "a", id: 3 }))).toThrow(
      /Call 3 \(agent "a"\).*NaN/s,
    );
    expect(() => publicGoods({ cost: -1 })).toThrow(/cost/);
    expect(values(publicGoods({ contribution: () => 0 }), episode(1, { agent: "a" }))).toEqual([[1.5]]);
  });
});
