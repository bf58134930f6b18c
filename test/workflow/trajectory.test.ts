/** What an episode is rewarded with, as one number. */

import { expect, test } from "vitest";
import { meanReward, type Trajectory } from "../../src/workflow/trajectory.ts";

const calls = [
  { id: 0, agent: "say" },
  { id: 1, agent: "say" },
  { id: 2, agent: "other" },
] as unknown as Trajectory["calls"];
const term = (value: number, about: object = {}) => ({ name: "r", value, ...about });
const mean = (...rewards: Trajectory["rewards"][number][]) => meanReward({ calls, rewards });
const [say, other] = [term(0.5, { agent: "say" }), term(2, { agent: "other" })];
const logged = term(7, { logged: true });

test("the whole trajectory's where there is one", () => {
  expect(mean(term(0.25))).toBe(0.25);
  expect(mean(term(0.25), term(9, { agent: "say" }))).toBe(0.25);
  expect(mean(term(0.25), term(0.5))).toBe(0.75);
});

test("else that of the calls that have one", () => {
  expect(mean(say)).toBe(0.5);
  expect(mean(say, other)).toBe(1);
  expect(mean(term(3, { call: 2 }))).toBe(3);
});

test("what is only logged counts for nothing", () => {
  expect(mean(logged)).toBe(0);
  expect(mean(logged, term(3, { call: 2 }))).toBe(3);
  expect(mean(logged, say)).toBe(0.5);
});
