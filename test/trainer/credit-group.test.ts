/** What a method is told of a group's calls. */

import { expect, test } from "vitest";
import type { AnyPolicy } from "../../src/engine/policy.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { RewardedEpisode } from "../../src/methods/method.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainSettings } from "../../src/trainer/config.ts";
import { creditGroup, creditGroups } from "../../src/trainer/credit-groups.ts";
import type { CallRecord, RewardRecord, Trajectory } from "../../src/workflow/trajectory.ts";

test("each call with its turn, scope and length, and the part of its reward that is its own", async () => {
  const policy = await tabularPolicy({ words: ["a"] }).open({ name: "p", seed: 0 });
  const call = (id: number, over: Partial<CallRecord> = {}) =>
    ({
      id,
      agent: "x",
      occurrence: 0,
      scope: "",
      policy: "p",
      status: "complete",
      origin: "sampled",
      output: new Int32Array(id),
      logprobs: new Float32Array(id).fill(-0.5),
      input: `ask ${id}`,
      text: `say ${id}`,
      stopReason: id === 1 ? "length" : "end",
      ...over,
    }) as CallRecord;
  const rewards: readonly RewardRecord[] = [
    { name: "all", value: 1 },
    { name: "x", value: 0.5, agent: "x" },
    { name: "child", value: 0.25, scope: "child#0" },
    { name: "own", value: -2, call: 1 },
    { name: "seen", value: 99, call: 1, logged: true },
  ];
  const calls = [
    call(0),
    call(1, { occurrence: 1 }),
    call(2, { agent: "y", scope: "child#0" }),
    call(3, { agent: "y", status: "failed" }),
    call(4, { agent: "y", origin: "edited" }),
  ];
  const identity = { purpose: "train", step: 3, group: 1, task: 0, sample: 2 };
  const trajectory = {
    id: "e",
    status: "complete",
    calls,
    rewards,
    identity,
    forks: [{ at: 1, branch: 2 }],
  } as unknown as Trajectory;
  const failed = { ...trajectory, id: "f", status: "failed" } as Trajectory;
  const seen: (readonly RewardedEpisode[])[] = [];
  const method = {
    ...grpo(),
    credit: (group: readonly RewardedEpisode[]) => {
      seen.push(group);
      return grpo().credit(group);
    },
  };
  const settings = { method, teams: new Map() } as unknown as TrainSettings<unknown>;
  const policies = new Map([["p", policy]]);
  const credited = creditGroup(
    { task: "t", index: 0, trajectories: [trajectory, failed] },
    { settings, policies },
  );
  const told = (id: number, branch: string) => ({
    id,
    length: id,
    node: `train/3/1/2${branch}#${id}`,
    state: `ask ${id}`,
    text: `say ${id}`,
    truncated: id === 1,
    policy: "p",
    // A call without tokens has none.
    ...(id === 0 ? {} : { meanLogprob: -0.5 }),
  });
  // Its first call was sampled for the episode that it branched off.
  const first = { ...told(0, ""), agent: "x", occurrence: 0, scope: "", reward: 1.5, own: 0 };
  const second = { ...told(1, "@1.2"), agent: "x", occurrence: 1, scope: "", reward: -0.5, own: -2 };
  const third = { ...told(2, "@1.2"), agent: "y", occurrence: 0, scope: "child#0", reward: 1.25, own: 0 };
  expect(seen).toEqual([
    [
      {
        id: "e",
        reward: 1,
        terms: { all: 1 },
        calls: [
          { ...first, terms: { all: 1, x: 0.5 } },
          { ...second, terms: { all: 1, x: 0.5, own: -2 } },
          { ...third, terms: { all: 1, child: 0.25 } },
        ],
      },
    ],
  ]);
  expect(credited.calls.map((one) => one.call.id)).toEqual([0, 1, 2]);
});

/** Complete episodes of one call each, and what a method is told of them. */
async function group(count: number, policy = "p") {
  const table = await tabularPolicy({ words: ["a"] }).open({ name: "p", seed: 0 });
  const { backward: _, ...scoring } = { ...table, backward: 0 };
  const policies = new Map<string, AnyPolicy>([
    ["p", table],
    ["frozen", { ...scoring, forward: table.forward.bind(table) } as unknown as AnyPolicy],
  ]);
  const call = {
    ...{ id: 0, agent: "x", occurrence: 0, scope: "", policy, status: "complete", origin: "sampled" },
    ...{
      output: Int32Array.of(2),
      logprobs: Float32Array.of(-1),
      input: "ask",
      text: "a",
      stopReason: "end",
    },
  } as unknown as CallRecord;
  const trajectories = Array.from({ length: count }, (_row, sample): Trajectory => {
    const identity = { purpose: "train", step: 1, group: 0, task: 0, sample };
    const rewards = [{ name: "r", value: sample }];
    const own = { id: `e${sample}`, status: "complete", calls: [call], rewards, identity, forks: [] };
    return own as unknown as Trajectory;
  });
  const settings = (teams: readonly string[] = []) =>
    ({
      method: { ...grpo(), groupSize: 1 },
      assignment: new Map(),
      teams: new Map(teams.map((name) => [name, new Map()])),
    }) as unknown as TrainSettings<unknown>;
  return { task: "t", index: 0, trajectories, policies, settings };
}

test("episodes go to the teams in turn, `groupSize` to each", async () => {
  const { policies, settings, ...rest } = await group(3);
  const told = (teams: readonly string[]) =>
    creditGroup(rest, { settings: settings(teams), policies }).rewarded.episodes.map(({ team }) => team);
  expect(told(["one", "two", "three"])).toEqual(["one", "two", "three"]);
  expect(told([])).toEqual([undefined, undefined, undefined]);
});

test("a node of a tree has a parent and no team: the nearest ancestor that is in the group", async () => {
  const { policies, settings, trajectories, ...rest } = await group(5);
  // 0 ← 1 ← 2 ← 3, and 4; 1 and 2 could not be scored.
  const parents = new Map([
    ["e0", undefined],
    ["e1", "e0"],
    ["e2", "e1"],
    ["e3", "e2"],
    ["e4", undefined],
  ]);
  const lost = trajectories.map((one, i) =>
    i === 1 || i === 2 ? ({ ...one, status: "failed" } as Trajectory) : one,
  );
  const { episodes } = creditGroup(
    { ...rest, trajectories: lost, parents },
    { settings: settings(["one", "two"]), policies },
  ).rewarded;
  expect(episodes.map(({ id, parent }) => [id, parent])).toEqual([
    ["e0", -1],
    ["e3", 0],
    ["e4", -1],
  ]);
  expect(episodes.map(({ team }) => team)).toEqual([undefined, undefined, undefined]);
});

test("calls of a frozen policy are told where there are teams, and trained nowhere", async () => {
  const { policies, settings, ...rest } = await group(2, "frozen");
  for (const [teams, calls] of [
    [["one", "two"], 1],
    [[], 0],
  ] as const) {
    const credited = creditGroup(rest, { settings: settings(teams), policies });
    expect(credited.rewarded.episodes.map((episode) => episode.calls.length)).toEqual([calls, calls]);
    for (const call of credited.rewarded.episodes.flatMap((episode) => episode.calls))
      expect(call.frozen).toBe(true);
    expect(credited.calls).toEqual([]);
  }
});

test("a group without complete episodes has no calls, no rewards and no signal", async () => {
  const { policies, settings, trajectories, ...rest } = await group(2);
  const failed = trajectories.map((one) => ({ ...one, status: "failed" }) as Trajectory);
  const groups = [
    { ...rest, trajectories: failed },
    { ...rest, trajectories },
  ];
  const [none, both] = creditGroups(groups, { settings: settings(), policies });
  expect(none).toMatchObject({ calls: [], rewards: [], hasSignal: false });
  expect(both).toMatchObject({ rewards: [0, 1], hasSignal: true });
});

test("rewards of a group are those of now, not of episodes that were remembered", async () => {
  const { policies, settings, ...rest } = await group(3);
  const { rewards, calls } = creditGroup(
    { ...rest, recalled: new Set(["e1"]) },
    { settings: settings(), policies },
  );
  expect(rewards).toEqual([0, 2]);
  expect(calls.map(({ recalled }) => recalled)).toEqual([undefined, true, undefined]);
});
