import { describe, expect, it } from "vitest";
import { applyRewards } from "../../src/rewards/apply.ts";
import { needsOf, type RewardTerm } from "../../src/rewards/reward.ts";
import { sum } from "../../src/rewards/sum.ts";
import { agentReward, callRewards, groupReward, reward } from "../../src/rewards/terms.ts";
import { parsed } from "../../src/rewards/usage.ts";
import { TabularPolicy } from "../../src/testing/index.ts";
import { trajectoryReward } from "../../src/workflow/trajectory.ts";
import { context, episodes, totals, trajectory } from "./episodes.ts";

const value = reward("value", ({ result }) => result as number);

describe("terms", () => {
  it("give rewards to the trajectory, an agent and single calls", async () => {
    const group = [
      { agent: "a", text: "xx" },
      { agent: "b", text: "y" },
      { agent: "a", text: "half", status: "cancelled" as const },
    ];
    const one = trajectory({ result: 2, calls: group });
    const terms = sum({
      whole: value,
      agent: agentReward("agent", "b", () => 10),
      call: callRewards("call", ({ agent, text }) => (agent === "a" ? text.length : undefined)),
    });
    const [scored] = await terms.score([{ task: {}, result: 2, trajectory: one }], context);
    expect(scored).toEqual({
      rewards: [
        { name: "sum", value: 2 },
        { name: "sum", value: 10, agent: "b" },
        { name: "sum", value: 2, call: 0 },
        { name: "whole", value: 2, logged: true },
        { name: "agent", value: 10, agent: "b", logged: true },
        { name: "call", value: 2, call: 0, logged: true },
      ],
    });
    expect(needsOf(terms)).toEqual({ policies: [], agents: ["b"] });
  });

  it("fail the one episode whose value is missing, not finite or thrown, and say which", async () => {
    const term = reward("odd", ({ result }) => {
      if (result === "throw") throw new Error("no gold answer");
      if (result === "reject") return Promise.reject(new Error("late"));
      return result as number;
    });
    const group = episodes(1, "throw", Number.NaN, undefined, "text", "reject", Number.POSITIVE_INFINITY, 0);
    // `undefined` is replaced by the default of the helper.
    group[3] = { ...group[3]!, result: undefined };
    expect(await totals(term, group)).toEqual([
      1,
      "E_REWARD_THREW",
      "E_REWARD_NOT_FINITE",
      "E_REWARD_MISSING",
      "E_REWARD_NOT_FINITE",
      "E_REWARD_THREW",
      "E_REWARD_NOT_FINITE",
      0,
    ]);
    const [, threw] = await term.score(group, context);
    expect(threw).toMatchObject({
      failure: {
        boundary: "reward",
        message: expect.stringMatching(
          /Reward "odd" of episode train\/000001\/000\/01 \(task 17 of workflow "toy"\) threw: no gold answer \(at /,
        ),
      },
    });
  });

  it("fail the whole group where a group-wise function throws or miscounts", async () => {
    const throwing = groupReward("g", () => {
      throw new Error("boom");
    });
    expect(await totals(throwing, episodes(1, 2))).toEqual(["E_REWARD_THREW", "E_REWARD_THREW"]);
    const short = groupReward("g", () => [1]);
    expect(await totals(short, episodes(1, 2))).toEqual(["E_REWARD_MISSING", "E_REWARD_MISSING"]);
    const oneBad = groupReward("g", (group) => group.map(({ result }) => result as number));
    expect(await totals(oneBad, episodes(1, Number.NaN, 3))).toEqual([1, "E_REWARD_NOT_FINITE", 3]);
  });

  it("do not wait for a function that never answers", async () => {
    const hanging = reward("hangs", () => new Promise<number>(() => {}));
    expect(await totals(hanging, episodes(1), { ...context, deadline: 0.02 })).toEqual(["E_REWARD_DEADLINE"]);
  });

  it("refuse names that logs cannot hold", () => {
    for (const name of ["", "two words", 'quo"te']) expect(() => reward(name, () => 1)).toThrow(/name/);
  });
});

describe("applyRewards", () => {
  const groups = () => [
    {
      index: 4,
      task: {},
      trajectories: [
        trajectory({ result: 1, calls: [{ agent: "a" }] }),
        trajectory({ result: Number.NaN, sample: 1 }),
        trajectory({ status: "failed", sample: 2 }),
        trajectory({ result: 3, sample: 3 }),
      ],
    },
  ];

  it("adds rewards, fails what cannot be scored, and changes nothing that it was given", async () => {
    const given = groups();
    const before = structuredClone(given);
    const [group] = await applyRewards(value, given, context);
    expect(given).toEqual(before);
    expect(group!.index).toBe(4);
    expect(group!.trajectories.map(({ status }) => status)).toEqual([
      "complete",
      "failed",
      "failed",
      "complete",
    ]);
    expect(trajectoryReward(group!.trajectories[3]!)).toBe(3);
    expect(group!.trajectories[1]!.failure).toMatchObject({
      boundary: "reward",
      code: "E_REWARD_NOT_FINITE",
    });
    // It had failed before, for another reason, and no term saw it.
    expect(group!.trajectories[2]!.failure).toBeUndefined();
  });

  it("adds to what the workflow gave itself", async () => {
    const given = { ...trajectory({ result: 2 }), rewards: [{ name: "inside", value: 5 }] };
    const [group] = await applyRewards(value, [{ task: {}, trajectories: [given] }], context);
    expect(trajectoryReward(group!.trajectories[0]!)).toBe(7);
  });

  it("shows terms the complete episodes only", async () => {
    const seen: number[] = [];
    const counting = groupReward("n", (group) => {
      seen.push(group.length);
      return group.map(() => 0);
    });
    await applyRewards(counting, groups(), context);
    await applyRewards(
      counting,
      [{ task: {}, trajectories: [trajectory({ status: "cancelled" })] }],
      context,
    );
    expect(seen).toEqual([3]);
  });

  it("fails an episode without any reward, and one with a trainable call that none covers", async () => {
    const policies = new Map([["p", new TabularPolicy("p", { words: ["a"] })]]);
    const given = [
      {
        task: {},
        trajectories: [
          trajectory(),
          trajectory({ calls: [{ agent: "a", parse: { ok: true, value: 1 } }, { agent: "b" }] }),
        ],
      },
    ];
    const [group] = await applyRewards(parsed("format", { agents: ["a"] }), given, { ...context, policies });
    expect(group!.trajectories.map(({ failure }) => failure?.code)).toEqual([
      "E_REWARD_MISSING",
      "E_REWARD_MISSING",
    ]);
    expect(group!.trajectories[1]!.failure!.message).toMatch(/Call 1 \(agent "b"/);
    const [frozen] = await applyRewards(parsed("format", { agents: ["a"] }), given, context);
    expect(frozen!.trajectories.map(({ status }) => status)).toEqual(["failed", "complete"]);
    const [evaluated] = await applyRewards(parsed("format"), given, {
      ...context,
      stage: "evaluate",
      policies,
    });
    expect(evaluated!.trajectories.map(({ status }) => status)).toEqual(["complete", "complete"]);
  });

  it("types what a user's own term does wrong", async () => {
    const own = (score: RewardTerm["score"]): RewardTerm => ({ name: "own", score });
    const codes = async (term: RewardTerm) => {
      const [group] = await applyRewards(term, [{ task: {}, trajectories: [trajectory()] }], context);
      return group!.trajectories[0]!.failure?.code;
    };
    expect(await codes(own(() => Promise.reject(new Error("x"))))).toBe("E_REWARD_THREW");
    expect(await codes(own(async () => []))).toBe("E_REWARD_MISSING");
    expect(await codes(own(async () => [{ rewards: [{ name: "own", value: Number.NaN }] }]))).toBe(
      "E_REWARD_NOT_FINITE",
    );
    expect(await codes(own(async () => [{ rewards: [{ name: "own", value: 1, call: 3 }] }]))).toBe(
      "E_REWARD_PLACE",
    );
    expect(await codes(own(async () => [{ rewards: [{ name: "own", value: 1, logged: true }] }]))).toBe(
      "E_REWARD_MISSING",
    );
  });

  it("leaves episodes cancelled, and terms untaught, where the run is stopped", async () => {
    const stop = new AbortController();
    let learned = 0;
    const hanging: RewardTerm = {
      ...reward("hangs", ({ result }) => (result === 1 ? new Promise<number>(() => {}) : 1)),
      learn: () => {
        learned++;
      },
    };
    const running = applyRewards(hanging, groups(), { ...context, signal: stop.signal });
    stop.abort();
    const [group] = await running;
    expect(group!.trajectories.map(({ status }) => status)).toEqual([
      "cancelled",
      "cancelled",
      "failed",
      "cancelled",
    ]);
    expect(learned).toBe(0);
  });

  it("teaches once a step, in training only", async () => {
    let learned = 0;
    const learning: RewardTerm = {
      ...reward("r", () => 1),
      learn: (scored) => {
        learned += scored.length;
      },
    };
    const two = [...groups(), ...groups()];
    await applyRewards(learning, two, context);
    expect(learned).toBe(6);
    await applyRewards(learning, two, { ...context, stage: "evaluate" });
    await applyRewards(learning, two, context, { learn: false });
    expect(learned).toBe(6);
  });
});
