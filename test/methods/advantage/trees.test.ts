/** Advantages over episodes that branch: TreeRPO and Tree-GRPO. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { treeGrpoAdvantage } from "../../../src/methods/advantage/tree-grpo.ts";
import { treeRpoAdvantage } from "../../../src/methods/advantage/tree-rpo.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { RewardedGroup } from "../../../src/methods/method.ts";
import type { AdvantagePart } from "../../../src/methods/parts.ts";
import { episodeTree } from "../../../src/methods/tree/episode-tree.ts";
import { between } from "../numbers.ts";

/** Episodes as [id, reward, nodes]. */
const groupOf = (...episodes: readonly (readonly [string, number, readonly string[]])[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes: episodes.map(([id, reward, nodes]) => ({
    id,
    reward,
    calls: nodes.map((node) => ({ agent: "a", reward, node })),
  })),
});
const of = (part: AdvantagePart, group: RewardedGroup) =>
  part.advantages([{ group, ...broadcast().assign(group) }])[0]!;
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly (readonly number[])[]) =>
  expected.map((row) => row.map((value) => expect.closeTo(value, 5)));

// Under the root x and y; x goes on to x1, x2 (both right), y to y1 (right) and y2 (wrong).
const spec = groupOf(
  ["e0", 1, ["x", "x1"]],
  ["e0@1.1", 1, ["x", "x2"]],
  ["e1", 1, ["y", "y1"]],
  ["e1@1.1", 0, ["y", "y2"]],
);

test("the tree under branching episodes", () => {
  const { parents, outcomes, nodes, first, trees } = episodeTree(spec, [1, 1, 1, 0]);
  expect(parents).toEqual([-1, 0, 0, -1, 3, 3]);
  expect(outcomes).toEqual([[], [1], [1], [], [1], [0]]);
  expect(rows(nodes)).toEqual([
    [0, 1],
    [0, 2],
    [3, 4],
    [3, 5],
  ]);
  expect(rows(first)).toEqual([
    [1, 1],
    [0, 1],
    [1, 1],
    [0, 1],
  ]);
  expect(trees).toEqual(["e0", "e0", "e1", "e1"]);
});

test("calls without a name are nodes of their own", () => {
  const episodes = [0, 1].map((reward) => ({
    reward,
    calls: [
      { agent: "a", reward },
      { agent: "b", reward },
    ],
  }));
  expect(episodeTree({ episodes }, [0, 1]).parents).toEqual([-1, 0, -1, 2]);
});

describe("TreeRPO", () => {
  test("golden values", () => {
    const { advantages, trained, hasSignal } = of(treeRpoAdvantage(), spec);
    expect(rows(advantages)).toEqual(
      near([
        [0.25, 0],
        [0.25, 0],
        [-0.25, 0.5],
        [-0.25, -0.5],
      ]),
    );
    // Shared calls once, and siblings that are worth the same not at all.
    expect(rows(trained!)).toEqual([
      [1, 0],
      [0, 0],
      [1, 1],
      [0, 1],
    ]);
    expect(hasSignal).toBe(true);
    const bernoulli = of(treeRpoAdvantage({ norm: "bernoulli" }), spec);
    expect(rows(bernoulli.advantages)).toEqual(
      near([
        [0.57735, 0],
        [0.57735, 0],
        [-0.57735, 1],
        [-0.57735, -1],
      ]),
    );
    const deviation = of(treeRpoAdvantage({ norm: "deviation" }), spec);
    expect(rows(deviation.advantages)).toEqual(
      near([
        [1, 0],
        [1, 0],
        [-1, 1],
        [-1, -1],
      ]),
    );
  });

  test("a group that does not branch: the first calls are siblings, what follows are only children", () => {
    const flat = groupOf(["e0", 1, ["a", "b"]], ["e1", 0, ["c", "d"]]);
    const { advantages, trained } = of(treeRpoAdvantage(), flat);
    expect(rows(advantages)).toEqual([
      [0.5, 0],
      [-0.5, 0],
    ]);
    expect(rows(trained!)).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });

  test("nothing to learn from equal rewards, from one episode, from none", () => {
    for (const group of [groupOf(["a", 1, ["x"]], ["b", 1, ["y"]]), groupOf(["a", 1, ["x"]]), groupOf()]) {
      expect(of(treeRpoAdvantage(), group).hasSignal).toBe(false);
    }
  });

  test("the advantages of each set of siblings sum to zero", () => {
    const drawn = fc.array(fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 }), between(0, 1)), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(drawn, (list) => {
        const group = groupOf(
          ...list.map(
            ([a, b, reward], i) => [`e${i}`, reward, [`${a}`, `${a}${b}`, `${a}${b}${i}`]] as const,
          ),
        );
        const tree = episodeTree(
          group,
          list.map(([, , reward]) => reward),
        );
        const { advantages } = of(treeRpoAdvantage(), group);
        const sums = new Map<number, Map<number, number>>();
        tree.nodes.forEach((row, i) => {
          row.forEach((node, j) => {
            const parent = tree.parents[node]!;
            const siblings = sums.get(parent) ?? new Map<number, number>();
            sums.set(parent, siblings.set(node, advantages[i]![j]!));
          });
        });
        for (const siblings of sums.values())
          expect([...siblings.values()].reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 9);
      }),
    );
  });
});

describe("Tree-GRPO", () => {
  const leaves = groupOf(
    ["A", 1, ["a", "a1"]],
    ["A@1.1", 0, ["a", "a2"]],
    ["B", 1, ["b", "b1"]],
    ["B@1.1", 1, ["b", "b2"]],
  );

  test("golden values", () => {
    const sum = of(treeGrpoAdvantage({ epsilon: 0 }), leaves);
    expect(rows(sum.advantages)).toEqual(
      near([1.207107, -2.207107, 0.5, 0.5].map((advantage) => [advantage, advantage])),
    );
    expect(sum.trained).toBeUndefined();
    const nested = of(treeGrpoAdvantage({ epsilon: 0, form: "nested" }), leaves);
    expect(nested.advantages.map(([value]) => value)).toEqual(
      [Math.SQRT1_2, -Math.SQRT1_2, 0, 0].map((value) => expect.closeTo(value, 5)),
    );
  });

  test("shared once: the mean of the episodes that share a call, in the first of them", () => {
    const { advantages, trained } = of(treeGrpoAdvantage({ epsilon: 0, shared: "once" }), leaves);
    expect(rows(advantages)).toEqual(
      near([
        [-0.5, 1.207107],
        [-0.5, -2.207107],
        [0.5, 0.5],
        [0.5, 0.5],
      ]),
    );
    expect(rows(trained!)).toEqual([
      [1, 1],
      [0, 1],
      [1, 1],
      [0, 1],
    ]);
  });

  test("one episode, equal rewards: nothing to learn", () => {
    expect(of(treeGrpoAdvantage(), groupOf(["A", 1, ["a"]])).hasSignal).toBe(false);
    expect(of(treeGrpoAdvantage(), groupOf(["A", 1, ["a"]], ["B", 1, ["b"]])).hasSignal).toBe(false);
    const single = of(
      treeGrpoAdvantage({ epsilon: 0, single: "raw" }),
      groupOf(["A", 1, ["a"]], ["B", 0, ["b"]]),
    );
    expect(rows(single.advantages)).toEqual(near([[1.707107], [-Math.SQRT1_2]]));
  });
});

test("settings are checked", () => {
  expect(() => treeRpoAdvantage({ norm: "std" as "none" })).toThrow(/norm "std"/);
  expect(() => treeGrpoAdvantage({ ddof: 2 as 1 })).toThrow(/ddof 2/);
  expect(() => treeGrpoAdvantage({ epsilon: Number.NaN })).toThrow(/epsilon NaN/);
  expect(() => treeGrpoAdvantage({ shared: "twice" as "once" })).toThrow(/"each" or "once"/);
});
