/** What a method is told of a group's calls. */

import { expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import type { RewardedEpisode } from "../../src/methods/method.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainSettings } from "../../src/trainer/config.ts";
import { creditGroup } from "../../src/trainer/credit-groups.ts";
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
