import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jensenShannon, ndcg } from "../../src/rewards/ranking-metrics.ts";
import {
  goldScores,
  readRerank,
  reranking,
  rerankReward,
  rerankRewardCard,
} from "../../src/rewards/rerank-reward.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { between } from "../methods/numbers.ts";
import { context, episodes, totals } from "./episodes.ts";

const predicted = [9, 2, 6];
const gold = { relevance: [1, 0, 1], scores: [10, 0, 5] };

describe("rerankReward", () => {
  it("has the golden values of GroupRank", () => {
    expect(jensenShannon(predicted, gold.scores)).toBeCloseTo(0.064719, 6);
    expect(jensenShannon(predicted, gold.scores) * Math.LN2).toBeCloseTo(0.04486, 6);
    expect(rerankReward({ tags: true, scores: predicted }, gold)).toBeCloseTo(1.293528, 6);
    expect(ndcg(predicted, gold.relevance)).toBe(1);
    expect(ndcg([9, 6, 2], gold.relevance)).toBeCloseTo(0.919721, 6);
  });

  it("is −0.1 with tags alone, −0.5 without", () => {
    expect(rerankReward({ tags: true }, gold)).toBe(-0.1);
    expect(rerankReward({ tags: false }, gold)).toBe(-0.5);
    expect(rerankReward({ tags: false, scores: predicted }, gold)).toBe(-0.5);
  });

  it("is largest, 1 + γ + ε, for the gold scores, and does not change with the order of documents", () => {
    const row = fc.array(fc.tuple(between(0, 10), between(0, 10), fc.constantFrom(0, 1)), {
      minLength: 1,
      maxLength: 14,
    });
    fc.assert(
      fc.property(row, fc.infiniteStream(fc.nat()), (documents, picks) => {
        const order = documents
          .map((one) => ({ one, at: picks.next().value as number }))
          .sort((a, b) => a.at - b.at);
        const of = (list: typeof documents) =>
          rerankReward(
            { tags: true, scores: list.map(([score]) => score) },
            { scores: list.map(([, wanted]) => wanted), relevance: list.map(([, , relevant]) => relevant) },
          );
        expect(of(order.map(({ one }) => one))).toBeCloseTo(of(documents), 9);
        expect(of(documents)).toBeLessThanOrEqual(1.3 + 1e-9);
        expect(of(documents)).toBeGreaterThanOrEqual(-1e-9);
      }),
    );
    expect(rerankReward({ tags: true, scores: gold.scores }, gold)).toBeCloseTo(1.3, 12);
  });

  it("has the defaults of its card, and refuses weights that are no numbers", () => {
    const { recall, divergence, cutoff, ties } = rerankRewardCard.defaults;
    const told = {
      recall: recall!.value as number,
      divergence: divergence!.value as number,
      cutoff: cutoff!.value as number,
      ties: ties!.value as "share",
    };
    const many = {
      scores: [3, 0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5],
      relevance: [0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0],
    };
    const answer = { tags: true, scores: [4, 4, 1, 2, 1, 3, 5, 6, 2, 2, 7, 2] };
    expect(rerankReward(answer, many)).toBe(rerankReward(answer, many, told));
    for (const other of [{ recall: 1 }, { divergence: 1 }, { cutoff: 9 }, { ties: "order" as const }])
      expect(rerankReward(answer, many, other)).not.toBeCloseTo(rerankReward(answer, many), 6);
    expect(() => reranking("ranked", { gold: () => gold, recall: Number.NaN })).toThrow(
      RewardDefinitionError,
    );
  });
});

describe("goldScores", () => {
  it("fall with the mean logarithm of two ranks, down to 0", () => {
    const scores = goldScores([1, 2, 4], [1, 4, 2]);
    expect(scores[0]).toBeCloseTo(0.5 * Math.log(8), 12);
    expect(scores.slice(1)).toEqual([expect.closeTo(0, 12), expect.closeTo(0, 12)]);
    expect(goldScores([], [])).toEqual([]);
    expect(() => goldScores([0], [1])).toThrow(RewardDefinitionError);
    expect(() => goldScores([1], [1, 2])).toThrow(RewardDefinitionError);
  });
});

describe("reranking", () => {
  const answer = (inner: string) => `<think>hm</think>\n<answer>${inner}</answer>`;

  it("reads lists and objects, and tells bad JSON from bad tags", () => {
    expect(readRerank(answer("[9, 2, 6]"), 3)).toEqual({ tags: true, scores: predicted });
    expect(readRerank(answer('{"2": 2, "1": 9, "3": 6}'), 3)).toEqual({ tags: true, scores: predicted });
    for (const bad of [
      "[9, 2]",
      "[9, 2, 6, 1]",
      "[9, 2, -1]",
      '[9, 2, "6"]',
      '{"1": 9, "2": 2, "4": 6}',
      "9",
      "null",
      "[9,",
    ])
      expect(readRerank(answer(bad), 3)).toEqual({ tags: true });
    for (const bad of ["[9, 2, 6]", "<answer>[9, 2, 6]</answer>", `${answer("[9, 2, 6]")} end`])
      expect(readRerank(bad, 3)).toEqual({ tags: false });
  });

  it("rewards episodes, and fails those without gold or text", async () => {
    const term = reranking("ranked", { gold: () => gold });
    const values = await totals(term, episodes(answer("[9, 2, 6]"), answer("[]"), "[]", 7));
    expect(values).toEqual([expect.closeTo(1.293528, 5), -0.1, -0.5, "E_REWARD_THREW"]);
    const [scored] = await term.score(episodes(answer("[9, 2, 6]")), context);
    expect(scored).toMatchObject({ rewards: [{}, { name: "ranked.legal", value: 1, logged: true }] });
    const none = reranking("none", { gold: ({ task }) => (task as { gold: typeof gold }).gold });
    expect(await totals(none, episodes(answer("[9, 2, 6]")))).toEqual(["E_REWARD_THREW"]);
    const short = reranking("short", { gold: () => ({ ...gold, scores: [1] }) });
    expect(await totals(short, episodes(answer("[9, 2, 6]")))).toEqual(["E_REWARD_RANGE"]);
  });
});
