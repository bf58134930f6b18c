/** Tree mean, baselines apart by agent, and where branches are put. */

import { describe, expect, test } from "vitest";
import { groupAdvantage } from "../../../src/methods/advantage/group.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import { perAgent, perAgentTurn } from "../../../src/methods/credit/per-agent.ts";
import { treeMean } from "../../../src/methods/credit/tree-mean.ts";
import type { RewardedEpisode, RewardedGroup } from "../../../src/methods/method.ts";
import type { CreditAssigner } from "../../../src/methods/parts.ts";

const groupOf = (...episodes: readonly RewardedEpisode[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes,
});
const chain = (id: string, reward: number, ...nodes: readonly string[]): RewardedEpisode => ({
  id,
  reward,
  calls: nodes.map((node) => ({ agent: node[0]!, reward, node })),
});
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly (readonly number[])[]) =>
  expected.map((row) => row.map((value) => expect.closeTo(value, 5)));
const advantages = (credit: CreditAssigner, group: RewardedGroup, epsilon = 0) =>
  groupAdvantage({ epsilon }).advantages([{ group, ...credit.assign(group) }])[0]!;

describe("tree mean", () => {
  // The tree of C-3PO: none {0}, single {1, 0}, multi {1, 1, 0}.
  const spec = groupOf(
    chain("n", 0, "r-none", "p1"),
    chain("s", 1, "r-single", "p2"),
    chain("s@1.1", 0, "r-single", "p3"),
    chain("m", 1, "r-multi", "p4"),
    chain("m@1.1", 1, "r-multi", "p5"),
    chain("m@1.2", 0, "r-multi", "p6"),
  );

  test("golden values: each call is worth the mean of its leaves", () => {
    const { values, trained, compared } = treeMean().assign(spec);
    expect(rows(values)).toEqual(
      near([
        [0, 0],
        [0.5, 1],
        [0.5, 0],
        [2 / 3, 1],
        [2 / 3, 1],
        [2 / 3, 0],
      ]),
    );
    expect(rows(trained!)).toEqual([
      [1, 1],
      [1, 1],
      [0, 1],
      [1, 1],
      [0, 1],
      [0, 1],
    ]);
    expect(compared![0]).toEqual(["r", "p"]);
    expect(treeMean({ compare: "group" }).assign(spec).compared).toBeUndefined();
  });

  test("without branches it is broadcast with baselines apart by agent", () => {
    const flat = groupOf(chain("a", 1, "x1", "y1"), chain("b", 0, "x2", "y2"), chain("c", 0, "x3", "y3"));
    const tree = treeMean().assign(flat);
    expect(rows(tree.values)).toEqual(rows(broadcast().assign(flat).values));
    expect(advantages(treeMean(), flat)).toEqual(advantages(perAgent(), flat));
    expect(rows(tree.trained!).flat()).toEqual(Array(6).fill(1));
  });

  test("one agent, one episode, none", () => {
    expect(advantages(treeMean(), groupOf(chain("a", 1, "x1"))).hasSignal).toBe(false);
    expect(advantages(treeMean(), groupOf()).hasSignal).toBe(false);
    const { values } = treeMean().assign(groupOf({ reward: 1, calls: [] }));
    expect(rows(values)).toEqual([[]]);
  });

  test("a branch that fails lowers what came before it, and only that", () => {
    const alone = groupOf(chain("a", 1, "x", "y"));
    const branched = groupOf(chain("a", 1, "x", "y"), chain("a@1.1", 0, "x", "z"));
    expect(rows(treeMean().assign(alone).values)).toEqual([[1, 1]]);
    expect(rows(treeMean().assign(branched).values)).toEqual([
      [0.5, 1],
      [0.5, 0],
    ]);
  });
});

describe("baselines apart", () => {
  const call = (agent: string, reward: number, occurrence = 0, scope = "") => ({
    agent,
    reward,
    occurrence,
    scope,
  });
  const team = groupOf(
    { reward: 0, calls: [call("a", 1), call("a", 3, 1), call("b", 100)] },
    { reward: 0, calls: [call("a", 3), call("a", 3, 1), call("b", 300)] },
  );

  test("by agent: a large reward of one agent does not drown another's", () => {
    // Of agent a the values are 2 and 3 (means over its calls): mean 2.5, deviation 0.5.
    expect(rows(advantages(perAgent(), team).advantages)).toEqual(
      near([
        [-3, 1, -1],
        [1, 1, 1],
      ]),
    );
  });

  test("by agent and turn", () => {
    expect(rows(advantages(perAgentTurn(), team).advantages)).toEqual(
      near([
        [-1, 0, -1],
        [1, 0, 1],
      ]),
    );
  });

  test("calls of a child workflow are turns of their own", () => {
    const nested = groupOf(
      { reward: 0, calls: [call("a", 1), call("a", 5, 0, "child#0")] },
      { reward: 0, calls: [call("a", 2), call("a", 4, 0, "child#0")] },
    );
    expect(rows(advantages(perAgentTurn(), nested).advantages)).toEqual(
      near([
        [-1, 1],
        [1, -1],
      ]),
    );
  });

  test("with one agent of one call each it is broadcast", () => {
    const single = groupOf({ reward: 1, calls: [call("a", 1)] }, { reward: 0, calls: [call("a", 0)] });
    for (const credit of [perAgent(), perAgentTurn()])
      expect(advantages(credit, single)).toEqual(advantages(broadcast(), single));
  });
});

test("settings are checked", () => {
  expect(() => treeMean({ compare: "role" as "agent" })).toThrow(/compare "role"/);
});
