/** M-GRPO's alignment, leave one out, and sibling pairs. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { alignedCounts, callGroup } from "../../../src/methods/advantage/call-group.ts";
import { leaveOneOut } from "../../../src/methods/advantage/leave-one-out.ts";
import { siblingPairs } from "../../../src/methods/advantage/sibling-pairs.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import { mGrpo } from "../../../src/methods/m-grpo.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../../../src/methods/method.ts";
import type { AdvantagePart } from "../../../src/methods/parts.ts";

const groupOf = (...episodes: readonly RewardedEpisode[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes,
});
const of = (part: AdvantagePart, ...episodes: readonly RewardedEpisode[]) => {
  const group = groupOf(...episodes);
  return part.advantages([{ group, ...broadcast().assign(group) }])[0]!;
};
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly (readonly number[])[]) =>
  expected.map((row) => row.map((value) => expect.closeTo(value, 5)));
/** Sub-calls, each in a child workflow of its own. */
const lead = (id: string, main: number, ...subs: readonly number[]): RewardedEpisode => ({
  id,
  reward: main,
  calls: [
    { agent: "lead", reward: main },
    ...subs.map((reward, i) => ({ agent: "sub", reward, scope: `sub#${i}` })),
  ],
});

describe("alignment of sub-trajectories", () => {
  test("golden values: duplicate index 0, drop index 2", () => {
    expect(alignedCounts(1, 2, () => 0)).toEqual([2]);
    expect(alignedCounts(3, 2, () => 2)).toEqual([1, 1, 0]);
    // Aligned (0.9, 0.9, 0.5, 0.1): μ 0.6, σ 0.331662. A copy is a factor on the advantage.
    let found: readonly number[][] = [];
    for (let seed = 0; found.length === 0; seed++) {
      const { advantages, trained } = of(
        callGroup({ size: 2, epsilon: 0, seed }),
        lead("a", 1, 0.9),
        lead("b", 0.1, 0.5, 0.1, 0.6),
      );
      if (rows(trained!)[1]!.join() === "1,1,1,0") found = rows(advantages);
    }
    expect(found).toEqual(
      near([
        [1, 2 * 0.904534],
        [-1, -0.301511, -1.507557, 0],
      ]),
    );
  });

  test("every episode has d, and draws are even", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(),
        (count, d, seed) => {
          let state = seed;
          const counts = alignedCounts(count, d, (below) => {
            state = (state * 1103515245 + 12345) % 2147483648;
            return state % below;
          });
          expect(counts).toHaveLength(count);
          expect(counts.reduce((sum, times) => sum + times, 0)).toBe(d);
          if (count <= d) expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
          else expect(Math.max(...counts)).toBe(1);
        },
      ),
    );
    expect(alignedCounts(0, 8, () => 0)).toEqual([]);
  });

  test("the same seed draws the same; the advantages over the aligned ones sum to zero", () => {
    const episodes = [lead("a", 1, 0.9, 0.2), lead("b", 0, 0.5, 0.1, 0.6), lead("c", 0.4)];
    const once = of(callGroup({ size: 4 }), ...episodes);
    expect(of(callGroup({ size: 4 }), ...episodes)).toEqual(once);
    const sub = once.advantages.flatMap((row) => [...row].slice(1));
    expect(sub.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
    expect(rows(once.advantages)[2]).toHaveLength(1);
  });

  test("calls of one child are one trajectory; one call of each agent is plain GRPO", () => {
    const talk = (id: string, reward: number): RewardedEpisode => ({
      id,
      reward,
      calls: [0, 1].map((occurrence) => ({ agent: "sub", reward, scope: "sub#0", occurrence })),
    });
    const { advantages, links } = of(callGroup({ epsilon: 0, linked: true }), talk("a", 1), talk("b", 0));
    expect(rows(advantages)).toEqual(
      near([
        [1, 1],
        [-1, -1],
      ]),
    );
    expect(links![0]![0]).toBe(links![0]![1]);
    expect(links![0]![0]).not.toBe(links![1]![0]);
    expect(of(callGroup(), talk("a", 1), talk("b", 0)).links).toBeUndefined();
  });

  test("p99: the number that nearly no episode exceeds", () => {
    const { advantages } = of(callGroup({ size: "p99", epsilon: 0 }), lead("a", 1, 1, 1), lead("b", 0, 0));
    // d = 2: the one call of b is there twice.
    expect(rows(advantages)).toEqual(
      near([
        [1, 1, 1],
        [-1, -2],
      ]),
    );
  });

  test("equal rewards, no episode, no sub-call: nothing to learn; settings are checked", () => {
    expect(of(callGroup(), lead("a", 1, 1), lead("b", 1, 1, 1)).hasSignal).toBe(false);
    expect(of(callGroup()).hasSignal).toBe(false);
    expect(() => callGroup({ size: 0 })).toThrow(/size/);
  });

  test("M-GRPO: main agent over episodes, token or trajectory ratio", () => {
    const episodes = [lead("a", 1, 0.5), lead("b", 0.1, 0.5)];
    const { advantages, links } = mGrpo().credit(episodes);
    expect(advantages.map(([first]) => first)).toEqual([1, -1].map((value) => expect.closeTo(value, 4)));
    expect(links).toBeUndefined();
    expect(mGrpo({ ratio: "trajectory" }).credit(episodes).links).toHaveLength(2);
  });
});

describe("leave one out", () => {
  const team = (id: string, reward: number, ...agents: readonly string[]): RewardedEpisode => ({
    id,
    reward,
    calls: agents.map((agent) => ({ agent, reward })),
  });

  test("an agent is worth what episodes with it have over those without it", () => {
    const { advantages } = of(
      leaveOneOut(),
      team("1", 1, "a", "critic"),
      team("2", 0.4, "a"),
      team("3", 0.2, "a"),
    );
    // The critic: 1 − mean(0.4, 0.2). Agent a is in all: each against the mean of the others.
    expect(rows(advantages)).toEqual(near([[0.7, 0.7], [-0.2], [-0.5]]));
  });

  test("another episode with the agent plays no part in its baseline", () => {
    const { advantages } = of(
      leaveOneOut(),
      team("1", 1, "critic"),
      team("2", 0.8, "critic"),
      team("3", 0.2, "a"),
    );
    // The critic against 0.2 alone; agent a against the mean of 1 and 0.8.
    expect(rows(advantages)).toEqual(near([[0.8], [0.6], [-0.7]]));
  });

  test("a useless agent is worth nothing, whatever the level of rewards", () => {
    const shifted = of(leaveOneOut(), team("1", 5, "critic"), team("2", 5));
    expect(rows(shifted.advantages)).toEqual([[0], []]);
    expect(shifted.hasSignal).toBe(false);
    expect(of(leaveOneOut(), team("1", 1, "a")).hasSignal).toBe(false);
  });
});

describe("sibling pairs", () => {
  const chain = (id: string, reward: number, ...nodes: readonly string[]): RewardedEpisode => ({
    id,
    reward,
    calls: nodes.map((node) => ({ agent: "a", reward, node })),
  });

  test("by node: best against worst of what follows the same call", () => {
    const { advantages, links, trained } = of(
      siblingPairs({ share: 1 }),
      chain("e0", 1, "x", "x1"),
      chain("e0@1.1", 0, "x", "x2"),
      chain("e0@1.2", 0.3, "x", "x3"),
      chain("e1", 0, "y", "y1"),
    );
    // Under the root: x is worth 0.4333, y 0. Under x: 1 and 0.
    expect(rows(advantages)).toEqual([
      [1, 1],
      [0, -1],
      [0, 0],
      [-1, 0],
    ]);
    expect(rows(trained!)).toEqual([
      [1, 1],
      [0, 1],
      [0, 0],
      [1, 0],
    ]);
    expect(links![0]![1]).toBe(links![1]![1]);
    expect(links![0]![0]).toBe(links![3]![0]);
    expect(links![0]![0]).not.toBe(links![0]![1]);
  });

  test("only clear pairs, and the better half of them", () => {
    const episodes = [chain("e0", 1, "x", "x1"), chain("e0@1.1", 0, "x", "x2"), chain("e1", 0.1, "y", "y1")];
    expect(rows(of(siblingPairs(), ...episodes).advantages)).toEqual([
      [0, 1],
      [0, -1],
      [0, 0],
    ]);
    expect(of(siblingPairs({ least: 1 }), ...episodes).hasSignal).toBe(false);
    expect(of(siblingPairs({ gap: 1 }), ...episodes).hasSignal).toBe(false);
  });

  test("by state: cells of one agent that were asked the same, with a critic's score", () => {
    const cells = (id: string, ...scores: readonly (readonly [string, number])[]): RewardedEpisode => ({
      id,
      reward: 0,
      calls: scores.map(
        ([state, reward]): RewardedCall => ({ agent: "a", state, reward, node: `${id}${state}` }),
      ),
    });
    const { advantages } = of(
      siblingPairs({ by: "state", share: 1 }),
      cells("e0", ["screen 1", 1], ["screen 2", 0.5]),
      cells("e1", ["screen 1", 0], ["screen 3", 0]),
    );
    expect(rows(advantages)).toEqual([
      [1, 0],
      [-1, 0],
    ]);
  });

  test("one episode, none, equal ones: no pairs; settings are checked", () => {
    expect(of(siblingPairs(), chain("e", 1, "x")).hasSignal).toBe(false);
    expect(of(siblingPairs()).hasSignal).toBe(false);
    expect(of(siblingPairs(), chain("e", 1, "x"), chain("f", 1, "y")).hasSignal).toBe(false);
    expect(() => siblingPairs({ by: "text" as "node" })).toThrow(/"node" or "state"/);
    expect(() => siblingPairs({ share: 0 })).toThrow(/share/);
  });
});
