import { expect, it } from "vitest";
import { clip } from "../../src/rewards/scale.ts";
import { sideBySide } from "../../src/rewards/side-by-side.ts";
import { sum } from "../../src/rewards/sum.ts";
import { agentReward, callRewards, reward } from "../../src/rewards/terms.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

const value = reward("value", ({ result }) => result as number);

it("keeps each part under its key, all of them counting, and what they logged", async () => {
  const term = sideBySide({
    helpful: value,
    harmless: ({ result }) => -(result as number),
    clipped: clip(
      reward("raw", () => 9),
      { high: 2 },
    ),
  });
  expect(await term.score(episodes(3), context)).toEqual([
    {
      rewards: [
        { name: "helpful", value: 3 },
        { name: "harmless", value: -3 },
        { name: "clipped", value: 2 },
        { name: "raw", value: 9, logged: true },
      ],
    },
  ]);
  expect(await totals(term, episodes(3))).toEqual([2]);
});

it("leaves rewards at their places", async () => {
  const term = sideBySide({ own: callRewards("a", ({ id }) => id), all: agentReward("b", "x", () => 5) });
  const [scored] = await term.score([episode({ calls: [{ agent: "x" }, { agent: "x" }] })], context);
  expect(scored).toEqual({
    rewards: [
      { name: "own", value: 0, call: 0 },
      { name: "own", value: 1, call: 1 },
      { name: "all", value: 5, agent: "x" },
    ],
  });
});

it("counts the same in a sum, and fails with a part", async () => {
  const parts = () => ({ a: value, b: reward("b", () => 4) });
  const inner = sum({ both: [2, sideBySide(parts())] });
  expect(await totals(inner, episodes(1))).toEqual([10]);
  const failing = sideBySide({ a: value, b: () => Number.NaN });
  expect(await totals(failing, episodes(1))).toEqual(["E_REWARD_NOT_FINITE"]);
  expect(() => sideBySide({})).toThrow(/no terms/);
  expect(() => sideBySide({ a: sum({ x: value }), b: sum({ x: value }) })).toThrow(
    /two terms of the name "x"/,
  );
});
