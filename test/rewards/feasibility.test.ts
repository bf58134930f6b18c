import { describe, expect, it } from "vitest";
import { feasibilityCard, infeasible } from "../../src/rewards/feasibility.ts";
import { RewardDefinitionError } from "../../src/rewards/reward.ts";
import { sideBySide } from "../../src/rewards/side-by-side.ts";
import { callRewards, reward } from "../../src/rewards/terms.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

interface Answer {
  readonly text: string;
  readonly safe: number;
}
const isShort = ({ result }: { readonly result: unknown }) => (result as Answer).text.length < 5;
const safe = { term: reward("judged", ({ result }) => (result as Answer).safe), atLeast: 0.5 };

describe("infeasible", () => {
  it("marks what breaks any constraint, at the threshold not", async () => {
    const term = infeasible({ short: isShort, safe });
    const group = episodes(
      { text: "ok", safe: 0.5 },
      { text: "too long", safe: 1 },
      { text: "ok", safe: 0.4 },
      { text: "too long", safe: 0 },
    );
    expect(await totals(term, group)).toEqual([0, -1, -1, -1]);
    expect((await term.score(group, context))[3]).toEqual({
      rewards: [
        { name: "infeasible", value: -1 },
        { name: "short", value: 0, logged: true },
        { name: "safe", value: 0, logged: true },
        { name: "infeasible.broken", value: 2, logged: true },
      ],
    });
    const dear = infeasible({ short: isShort }, { cost: 3 });
    expect(await totals(dear, group.slice(0, 2))).toEqual([0, -3]);
    expect(Object.is((await totals(dear, group))[0], 0)).toBe(true);
  });

  it("sums a term over its places, as gates do", async () => {
    const perCall = callRewards("perCall", () => 0.25);
    const term = infeasible({ enough: { term: perCall, atLeast: 0.5 } });
    const calls = (count: number) =>
      episode({ calls: Array.from({ length: count }, () => ({ agent: "a" })) });
    expect(await totals(term, [calls(1), calls(2)])).toEqual([-1, 0]);
    expect(await totals(term, [calls(0)])).toEqual(["E_REWARD_MISSING"]);
  });

  it("fails where a rule does not say, throws, or a term fails: that episode alone", async () => {
    const rules = infeasible({
      said: ({ result }) => {
        if (result === 1) throw new Error("no rule");
        return (result === 2 ? undefined : result === 3 ? "yes" : true) as boolean;
      },
    });
    expect(await totals(rules, episodes(1, 2, 3, 4))).toEqual([
      "E_REWARD_THREW",
      "E_REWARD_THREW",
      "E_REWARD_THREW",
      0,
    ]);
    const failing = infeasible({ safe: { term: reward("x", () => Number.NaN), atLeast: 0 } });
    expect(await totals(failing, episodes(1))).toEqual(["E_REWARD_NOT_FINITE"]);
    const slow = infeasible({ slow: async () => false });
    expect(await totals(slow, episodes(1))).toEqual([-1]);
  });

  it("stands by other rewards under the name that CGPO's optimisers look for", async () => {
    const rewards = sideBySide({ helpful: () => 0.7, infeasible: infeasible({ short: isShort }) });
    const [scored] = await rewards.score(episodes({ text: "too long", safe: 1 }), context);
    const counting = "rewards" in scored! ? scored.rewards.filter(({ logged }) => logged !== true) : [];
    expect(Object.fromEntries(counting.map(({ name, value }) => [name, value]))).toEqual({
      helpful: 0.7,
      infeasible: -1,
    });
  });

  it("refuses costs and thresholds that are none, and has the default of its card", async () => {
    for (const cost of [0, -1, Number.NaN])
      expect(() => infeasible({ short: isShort }, { cost })).toThrow(RewardDefinitionError);
    expect(() => infeasible({ safe: { ...safe, atLeast: Number.NaN } })).toThrow(/Constraint "safe"/);
    expect(() => infeasible({})).toThrow(/no terms/);
    expect(await totals(infeasible({ never: () => false }), episodes(1))).toEqual([
      -(feasibilityCard.defaults.cost!.value as number),
    ]);
  });
});
