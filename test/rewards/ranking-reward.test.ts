import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  dominance,
  entropyProfile,
  rankFailed,
  rankingReward,
  rankingRewardCard,
} from "../../src/rewards/ranking-reward.ts";
import { needsOf, RewardDefinitionError } from "../../src/rewards/reward.ts";
import { between } from "../methods/numbers.ts";
import { episode, totals } from "./episodes.ts";

const golden = [
  [2, 0.1, 0.1, 0.1],
  [1.5, 0.5, 0.5, 0.5],
  [1, 0.2, 0.2, 0.2],
];
const close = (actual: readonly (number | string)[], wanted: readonly number[]) => {
  expect(actual.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) expect(actual[i]).toBeCloseTo(value, 9);
};

describe("rankingReward", () => {
  it("has the golden values of R³", () => {
    const profiles = golden.map((own) => entropyProfile(own, 0.25));
    close(
      profiles.map(({ peak }) => peak),
      [2, 1.5, 1],
    );
    close(
      profiles.map(({ global }) => global),
      [0.575, 0.75, 0.4],
    );
    expect(dominance(profiles)).toEqual([1, 0, 0]);
    close(rankingReward(golden, { topShare: 0.25, largest: 0.4 }), [0.4, 0.1, 0.1]);
    close(rankingReward(golden, { topShare: 0.25, largest: 0.4, ties: "order" }), [0.4, 0.2, 0]);
  });

  it("takes the ⌊p L⌋ largest entropies for the peak, at least one", () => {
    const ten = [1, 10, 2, 9, 3, 8, 4, 7, 5, 6];
    for (const [share, peak] of [
      [0.01, 10],
      [0.2, 9.5],
      [0.29, 9.5],
      [0.3, 9],
      [0.7, 7],
      [1, 5.5],
    ] as const)
      expect(entropyProfile(ten, share).peak).toBeCloseTo(peak, 12);
  });

  it("counts tokens as they were meant, whatever the rounding of the share", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i);
    expect(entropyProfile(hundred, 0.29).peak).toBeCloseTo(85, 9);
  });

  it("gives 0 to one alone, nothing to none, and half to all who tie", () => {
    expect(rankingReward([])).toEqual([]);
    expect(rankingReward([[1, 2]])).toEqual([0]);
    close(
      rankingReward(
        [
          [1, 2],
          [1, 2],
          [2, 1],
        ],
        { largest: 0.6 },
      ),
      [0.3, 0.3, 0.3],
    );
    close(rankingReward([[1], [1]], { ties: "order" }), [0.5, 0]);
  });

  it("permutes with the group, has the mean R_max / 2, and puts who dominates above who is dominated", () => {
    const row = fc.array(between(0, 3), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 2, maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        (rows, picks) => {
          const values = rankingReward(rows);
          expect(values.reduce((sum, value) => sum + value, 0) / rows.length).toBeCloseTo(0.25, 9);
          const order = rows
            .map((_, i) => ({ i, at: picks.next().value as number }))
            .sort((a, b) => a.at - b.at);
          const permuted = rankingReward(order.map(({ i }) => rows[i]!));
          for (const [place, { i }] of order.entries()) expect(permuted[place]).toBeCloseTo(values[i]!, 12);
          const profiles = rows.map((one) => entropyProfile(one));
          for (const [i, a] of profiles.entries())
            for (const [j, b] of profiles.entries())
              if (a.peak > b.peak && a.global < b.global) expect(values[i]).toBeGreaterThan(values[j]!);
        },
      ),
    );
  });

  it("refuses responses without tokens and settings that make no sense", () => {
    for (const wrong of [[[]], [[1], [Number.NaN]]])
      expect(() => rankingReward(wrong)).toThrow(RewardDefinitionError);
    for (const wrong of [{ topShare: 0 }, { topShare: 1.1 }, { largest: 0 }, { largest: Number.NaN }]) {
      expect(() => rankingReward(golden, wrong)).toThrow(RewardDefinitionError);
      expect(() => rankFailed("x", { failed: () => true, ...wrong })).toThrow(RewardDefinitionError);
    }
  });

  it("has the defaults of its card", () => {
    const { topShare, largest, ties } = rankingRewardCard.defaults;
    const told = {
      topShare: topShare!.value as number,
      largest: largest!.value as number,
      ties: ties!.value as "average",
    };
    const rows = [
      [3, 0, 0, 0, 0, 0, 0, 0, 0, 0.1],
      [2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      [1, 2],
      [1, 2],
    ];
    expect(rankingReward(rows)).toEqual(rankingReward(rows, told));
    expect(rankingReward(rows)).not.toEqual(rankingReward(rows, { ...told, topShare: 1 }));
  });
});

describe("rankFailed", () => {
  const told = (right: boolean, logprobs: readonly number[], agent = "solver", more = {}) =>
    episode({
      result: right,
      calls: [
        {
          agent,
          output: new Int32Array(logprobs.length),
          plainLogprobs: Float32Array.from(logprobs),
          ...more,
        },
      ],
    });
  const failed = ({ result }: { readonly result: unknown }) => result !== true;

  it("ranks what failed by what its tokens cost, and gives 0 to the rest", async () => {
    const group = [
      told(false, [-1.5, -0.5, -0.5, -0.5]),
      told(true, [-9, 0, 0, 0]),
      told(false, [-2, -0.125, -0.125, -0.125]),
      told(false, [-1, -0.25, -0.25, -0.25]),
    ];
    close(
      await totals(rankFailed("effort", { failed, topShare: 0.25, largest: 0.4 }), group),
      [0.1, 0, 0.4, 0.1],
    );
    const two = await totals(rankFailed("effort", { failed, topShare: 0.25, largest: 0.4 }), [
      group[0]!,
      group[2]!,
    ]);
    close(two, [0, 0.4]);
    const given = rankFailed("effort", {
      failed,
      entropies: ({ trajectory }) => golden[trajectory.calls[0]!.output.length - 4]!,
    });
    expect(await totals(given, [group[0]!, group[1]!])).toEqual([0, 0]);
  });

  it("looks at sampled tokens of the agent alone", async () => {
    const mixed = (logprobs: readonly number[], mask: readonly number[]) =>
      told(false, logprobs, "solver", { mask: Uint8Array.from(mask) });
    const group = [
      mixed([-2, -0.5, -9], [1, 1, 0]),
      mixed([-1, -2, -9], [1, 1, 0]),
      told(false, [-5], "critic"),
    ];
    const term = rankFailed("effort", { failed, agent: "solver", topShare: 0.5 });
    close(await totals(term, group), [0.25, 0.25, 0]);
    expect(needsOf(term).agents).toEqual(["solver"]);
    const both = await totals(rankFailed("effort", { failed, topShare: 0.5 }), group);
    close(both, [0.25, 0.25, 0.25]);
  });

  it("fails the group where a function throws", async () => {
    const term = rankFailed("effort", {
      failed: () => {
        throw new Error("no key");
      },
    });
    expect(await totals(term, [told(false, [-1])])).toEqual(["E_REWARD_THREW"]);
  });
});
