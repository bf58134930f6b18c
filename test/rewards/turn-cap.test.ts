import { describe, expect, it } from "vitest";
import { type Json, RewardDefinitionError } from "../../src/rewards/reward.ts";
import { sum } from "../../src/rewards/sum.ts";
import { reward } from "../../src/rewards/terms.ts";
import { annealedCap, turnCap, turnCapCard } from "../../src/rewards/turn-cap.ts";
import { context, episodes } from "./episodes.ts";

interface Walk {
  readonly solved: number;
  readonly moved: number;
  readonly tried: number;
}
const solved = reward("solved", ({ result }) => (result as Walk).solved);

describe("turn cap", () => {
  it("has the golden value of WMAct: mean 12.4 and maximum 30 make 21", () => {
    expect(annealedCap(30, 12.4, 30)).toBe(21);
  });

  it("is at least 1 and never rises", () => {
    expect(annealedCap(30, 0, 0)).toBe(1);
    expect(annealedCap(5, 30, 30)).toBe(5);
    for (const [mean, most] of [
      [-1, 3],
      [4, 3],
      [Number.NaN, 3],
    ] as const)
      expect(() => annealedCap(5, mean, most)).toThrow(RewardDefinitionError);
  });

  const make = (more = {}) =>
    turnCap("cap", { turns: ({ result }) => (result as Walk).tried, initial: 20, every: 2, ...more });
  const walk = (tried: number, done = 0) => ({ solved: done, moved: 0, tried });

  it("comes down every τ steps, over all that was used since, and begins anew", async () => {
    const cap = make();
    const total = sum({ solved, cap: cap.term });
    const seen: number[] = [];
    for (const [i, turns] of [
      [20, 4],
      [6, 6],
      [4, 4],
      [4, 4],
    ].entries()) {
      seen.push(cap.current());
      const scored = await total.score(episodes(...turns.map((used) => walk(used, 1))), {
        ...context,
        step: i + 1,
      });
      expect(scored[0]).toMatchObject({
        rewards: expect.arrayContaining([
          { name: "sum", value: 1 },
          { name: "cap.turns", value: turns[0], logged: true },
          { name: "cap.cap", value: cap.current(), logged: true },
        ]),
      });
      total.learn!(scored, context);
    }
    // After two steps (9 + 20) / 2, after two more (4 + 4) / 2.
    expect([...seen, cap.current()]).toEqual([20, 20, 14, 14, 4]);
  });

  it("survives a checkpoint within its window, and refuses the state of something else", async () => {
    const [one, other] = [make(), make()];
    one.term.learn!(await one.term.score(episodes(walk(10)), context), context);
    const saved: Json = JSON.parse(JSON.stringify(one.term.state!()));
    other.term.restore!(saved);
    for (const { term, current } of [one, other]) {
      term.learn!(await term.score(episodes(walk(2)), context), context);
      expect(current()).toBe(8);
    }
    for (const wrong of [
      null,
      [],
      {},
      { cap: 0, steps: 0, used: [] },
      { cap: 3, steps: 0, used: ["x"] },
    ] as Json[])
      expect(() => other.term.restore!(wrong)).toThrow(/does not belong/);
  });

  it("fails an episode whose turns are not told, and does not learn from it", async () => {
    const cap = turnCap("cap", { turns: ({ result }) => result as number, initial: 9, every: 1 });
    const scored = await cap.term.score(episodes(Number.NaN, 3, -1), context);
    expect(scored[0]).toMatchObject({ failure: { code: "E_REWARD_NOT_FINITE" } });
    expect(scored[2]).toMatchObject({ failure: { code: "E_REWARD_COUNT" } });
    cap.term.learn!(scored, context);
    expect(cap.current()).toBe(3);
  });

  it("stays where a window had no episodes", () => {
    const cap = make({ every: 1 });
    cap.term.learn!([], context);
    expect(cap.current()).toBe(20);
  });

  it("refuses settings that make no sense, and has the defaults of its card", async () => {
    for (const wrong of [{ initial: 0 }, { initial: 2.5 }, { every: 0 }])
      expect(() => make(wrong)).toThrow(RewardDefinitionError);
    const cap = turnCap("cap", { turns: () => 1 });
    const { initial, every } = turnCapCard.defaults;
    for (let step = 1; step <= (every!.value as number); step++) {
      expect(cap.current()).toBe(initial!.value);
      cap.term.learn!(await cap.term.score(episodes(1), context), context);
    }
    expect(cap.current()).toBe(1);
  });
});
