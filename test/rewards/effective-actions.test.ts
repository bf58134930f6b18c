import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { effectiveActions, effectiveShare } from "../../src/rewards/effective-actions.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { callRewards, reward } from "../../src/rewards/terms.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

interface Walk {
  readonly solved: number;
  readonly moved: number;
  readonly tried: number;
}
const solved = reward("solved", ({ result }) => (result as Walk).solved);
const counts = {
  effective: ({ result }: { readonly result: unknown }) => (result as Walk).moved,
  issued: ({ result }: { readonly result: unknown }) => (result as Walk).tried,
};

describe("effective share", () => {
  it("has the golden value of WMAct: success with 7 of 10 effective is 0.7", async () => {
    expect(effectiveShare(7, 10)).toBe(0.7);
    const group = episodes(
      { solved: 1, moved: 7, tried: 10 },
      { solved: 0, moved: 7, tried: 10 },
      { solved: 1, moved: 0, tried: 0 },
    );
    expect(await totals(effectiveActions(solved, counts), group)).toEqual([0.7, 0, 0]);
  });

  it("is a share, and refuses counts that are none", async () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), (effective, more) => {
        const share = effectiveShare(effective, effective + more);
        expect(share * (effective + more)).toBeCloseTo(effective, 9);
        expect(share).toBeLessThanOrEqual(1);
      }),
    );
    for (const [effective, issued] of [
      [2, 1],
      [-1, 1],
      [Number.NaN, 1],
      [0, Number.POSITIVE_INFINITY],
    ] as const)
      expect(() => effectiveShare(effective, issued)).toThrow(RewardDefinitionError);
    const group = episodes({ solved: 1, moved: 3, tried: 2 }, { solved: 1, moved: 1, tried: 2 });
    expect(await totals(effectiveActions(solved, counts), group)).toEqual(["E_REWARD_COUNT", 0.5]);
  });

  it("counts tools where nothing else is told, logs both counts, and leaves values with their calls", async () => {
    const perCall = callRewards("perCall", () => 2);
    const term = effectiveActions(perCall, { effective: () => 1 });
    const group = [episode({ calls: [{ agent: "a" }], tools: ["move", "move", "look", "look"] })];
    const [scored] = await term.score(group, context);
    expect(scored).toEqual({
      rewards: [
        { name: "effective(perCall)", value: 0.5, call: 0 },
        { name: "perCall", value: 2, call: 0, logged: true },
        { name: "effective(perCall).actions", value: 1, logged: true },
        { name: "effective(perCall).issued", value: 4, logged: true },
      ],
    });
  });
});
